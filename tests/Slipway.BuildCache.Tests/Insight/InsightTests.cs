using System.Text.Json.Nodes;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.BuildCache.ActionCache;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Insight;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests.Insight;

/// <summary>What calls leave behind, as people see it over HTTP.</summary>
public sealed class InsightTests(BuildCacheServer server) : IClassFixture<BuildCacheServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Stats_tell_hits_bytes_and_saved_time_for_each_invocation_and_user()
    {
        var access = await AccessAsync(await server.CacheAsync());
        var action = Action("compile");
        Record(access, RequestKind.ActionMiss, "build-1", action, reason: MissReason.Absent);
        Record(access, RequestKind.BlobWrite, "build-1", Blob("out"), bytes: 1000);
        Record(access, RequestKind.ActionWrite, "build-1", action, bytes: 150, cost: TimeSpan.FromSeconds(2));
        Record(access, RequestKind.ActionHit, "build-2", action, bytes: 150, cost: TimeSpan.FromSeconds(2));
        Record(access, RequestKind.BlobRead, "build-2", Blob("out"), bytes: 1000);

        var stats = await GetAsync($"/v1/orgs/acme/build-caches/{access.Cache.Name}/stats");
        var totals = stats["totals"]!;
        Number(totals, "actionHits").ShouldBe(1);
        Number(totals, "actionMisses").ShouldBe(1);
        totals["hitRate"]!.GetValue<double>().ShouldBe(0.5);
        Number(totals, "bytesUp").ShouldBe(1150);
        Number(totals, "bytesDown").ShouldBe(1150);
        totals["savedMs"]!.GetValue<double>().ShouldBe(2000);
        stats["users"]!.AsArray().Single()!.Text("user").ShouldBe("olga");

        var invocations = stats["invocations"]!.AsArray().ToDictionary(one => one!.Text("id"), one => one!);
        invocations.Keys.ShouldBe(["build-1", "build-2"], ignoreOrder: true);
        invocations["build-1"].Text("tool").ShouldBe("bazel");
        invocations["build-1"].Text("toolVersion").ShouldBe("7.7.1");
        invocations["build-2"]["usage"]!["hitRate"]!.GetValue<double>().ShouldBe(1);

        var top = stats["topMisses"]!.AsArray().Single()!;
        top.Text("mnemonic").ShouldBe("CppCompile");
        top.Text("target").ShouldBe("//app:main");
        top.Text("lastAction").ShouldBe(action.ToString());

        var one = await GetAsync($"/v1/orgs/acme/build-caches/{access.Cache.Name}/invocations/build-1");
        one["misses"]!.AsArray().Single()!.Text("reason").ShouldBe("absent");
        (await server.RefusedAsync("GET", $"/v1/orgs/acme/build-caches/{access.Cache.Name}/invocations/build-3", server.Owner)).Status.ShouldBe(404);
    }

    [Fact]
    public async Task Counters_of_one_invocation_add_up_over_several_writes()
    {
        var access = await AccessAsync(await server.CacheAsync());
        for (var round = 1; round <= 3; round++)
        {
            Record(access, RequestKind.BlobRead, "long-build", Blob("x"), bytes: 10);
            var stats = await GetAsync($"/v1/orgs/acme/build-caches/{access.Cache.Name}/stats");
            Number(stats["invocations"]!.AsArray().Single()!["usage"]!, "bytesDown").ShouldBe(10 * round);
        }
    }

    [Fact]
    public async Task Clients_that_name_no_invocation_get_one_for_each_burst()
    {
        var access = await AccessAsync(await server.CacheAsync());
        Record(access, RequestKind.BlobRead, null, Blob("x"), bytes: 1);
        Record(access, RequestKind.BlobRead, null, Blob("y"), bytes: 1);
        var listed = await GetAsync($"/v1/orgs/acme/build-caches/{access.Cache.Name}/invocations");
        var only = listed["items"]!.AsArray().Single()!;
        only.Text("id").ShouldStartWith("at-");
        Number(only["usage"]!, "calls").ShouldBe(2);
    }

    [Theory]
    [InlineData("cas/{0}", "bazel-http")]
    [InlineData("branch/ac/{0}", "bazel-http")]
    [InlineData("ccache/ab/cdef", "ccache")]
    [InlineData("sccache/a/b/{0}", "sccache")]
    [InlineData("turbo/v8/artifacts/0123456789abcdef", "turborepo")]
    [InlineData("nx/v1/cache/123", "nx")]
    [InlineData("gradle/{0}", "gradle")]
    [InlineData("go/{0}", "go")]
    public async Task A_tool_that_does_not_name_itself_is_named_by_its_route(string path, string tool)
    {
        var cache = await server.CacheAsync(settings: "\"validateActions\":false");
        var bytes = "some bytes"u8.ToArray();
        var hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes));
        var url = $"/cache/acme/{cache}/{string.Format(System.Globalization.CultureInfo.InvariantCulture, path, hash)}";
        using (var miss = await server.Client.CallAsync("GET", url, server.Owner, null, CancellationToken))
        {
            ((int)miss.StatusCode).ShouldBe(404);
        }

        using (var put = new HttpRequestMessage(HttpMethod.Put, url) { Content = new ByteArrayContent(bytes), Headers = { Authorization = new("Bearer", server.Owner) } })
        {
            put.Headers.Add("X-Go-Output-Id", hash);
            (await server.Client.SendAsync(put, CancellationToken)).EnsureSuccessStatusCode();
        }

        var listed = await GetAsync($"/v1/orgs/acme/build-caches/{cache}/invocations");
        var only = listed["items"]!.AsArray().Single()!;
        only.Text("tool").ShouldBe(tool);
        only.Text("id").ShouldStartWith(tool + "-2");
        // Each call once.
        Number(only["usage"]!, "calls").ShouldBe(2);
    }

    [Fact]
    public async Task What_a_client_calls_itself_can_hold_anything()
    {
        var access = await AccessAsync(await server.CacheAsync());
        Record(access, RequestKind.ActionMiss, "a\0b\e[31m", Action("odd"), reason: MissReason.Absent, target: "//t\0:x" + new string('y', 5000));
        var stats = await GetAsync($"/v1/orgs/acme/build-caches/{access.Cache.Name}/stats");
        stats["invocations"]!.AsArray().Single()!.Text("id").ShouldBe("a?b?[31m");
        stats["topMisses"]!.AsArray().Single()!.Text("target").Length.ShouldBe(512);
    }

    [Fact]
    public async Task Invocations_come_page_by_page()
    {
        var access = await AccessAsync(await server.CacheAsync());
        for (var i = 0; i < 5; i++)
        {
            Record(access, RequestKind.BlobRead, $"build-{i}", Blob("x"), bytes: 1);
        }

        List<string> seen = [];
        for (var token = ""; ;)
        {
            var page = await GetAsync($"/v1/orgs/acme/build-caches/{access.Cache.Name}/invocations?pageSize=2{token}");
            seen.AddRange(page["items"]!.AsArray().Select(one => one!.Text("id")));
            if (page["nextPageToken"] is not { } next)
            {
                break;
            }

            token = "&pageToken=" + next.GetValue<string>();
        }

        seen.ShouldBe(["build-0", "build-1", "build-2", "build-3", "build-4"], ignoreOrder: true);
    }

    [Fact]
    public async Task An_action_nobody_ran_was_never_seen()
    {
        var access = await AccessAsync(await server.CacheAsync());
        (await ExplainAsync(access, Action("new"))).Text("verdict").ShouldBe("never_seen");
    }

    [Fact]
    public async Task An_action_that_is_here_hits_and_tells_who_wrote_it()
    {
        var access = await AccessAsync(await server.CacheAsync());
        var action = Action("here");
        await WriteAsync(access, action, [], "build-1");
        var answer = await ExplainAsync(access, action);
        answer.Text("verdict").ShouldBe("hit");
        answer["producer"]!.Text("user").ShouldBe("olga");
        answer["producer"]!.Text("invocation").ShouldBe("build-1");
        answer["producer"]!["costMs"]!.GetValue<double>().ShouldBe(1500);
        // Without its size it is found too.
        (await ExplainAsync(access, action with { Size = -1 })).Text("verdict").ShouldBe("hit");
    }

    [Fact]
    public async Task An_entry_that_vanished_was_evicted()
    {
        var access = await AccessAsync(await server.CacheAsync());
        var action = Action("gone");
        await WriteAsync(access, action, [], "build-1");
        access.Space.Remove(ActionEntries.KeyOf(access, action)).ShouldBeTrue();
        Record(access, RequestKind.ActionMiss, "build-2", action, reason: MissReason.Absent);
        var answer = await ExplainAsync(access, action);
        answer.Text("verdict").ShouldBe("evicted");
        answer.Text("explanation").ShouldContain("build-1");
        answer["misses"]!.AsArray().Single()!.Text("invocation").ShouldBe("build-2");
    }

    [Fact]
    public async Task An_incomplete_entry_names_the_blob_it_lacks()
    {
        var access = await AccessAsync(await server.CacheAsync());
        var output = Blob("an output");
        await access.Space.PutAsync(output.Key, "an output"u8.ToArray(), BlobCodec.Raw, 9, Durability.Written, CancellationToken);
        var action = Action("incomplete");
        await WriteAsync(access, action, [output], "build-1");
        access.Space.Remove(output.Key).ShouldBeTrue();
        var answer = await ExplainAsync(access, action);
        answer.Text("verdict").ShouldBe("incomplete");
        answer.Text("missingBlob").ShouldBe(output.ToString());
    }

    [Fact]
    public async Task An_entry_of_another_sub_namespace_is_elsewhere()
    {
        var name = await server.CacheAsync();
        var main = await AccessAsync($"{name}/main");
        var action = Action("elsewhere");
        await WriteAsync(main, action, [], "build-1");
        var answer = await ExplainAsync(await AccessAsync(name), action);
        answer.Text("verdict").ShouldBe("elsewhere");
        answer["elsewhere"]!.AsArray().Single()!.Text("instanceName").ShouldBe($"acme/{name}/main");
        (await ExplainAsync(main, action)).Text("verdict").ShouldBe("hit");
    }

    [Fact]
    public async Task The_same_target_from_other_inputs_has_changed()
    {
        var access = await AccessAsync(await server.CacheAsync());
        var before = Action("before");
        await WriteAsync(access, before, [], "build-1");
        var after = Action("after");
        Record(access, RequestKind.ActionMiss, "build-2", after, reason: MissReason.Absent);
        var answer = await ExplainAsync(access, after);
        answer.Text("verdict").ShouldBe("changed");
        answer["alike"]!.AsArray().Single()!.Text("action").ShouldBe(before.ToString());
    }

    [Theory]
    [InlineData("invisible", 403)]
    [InlineData("visible", 200)]
    public async Task Views_open_with_the_stage_visible(string stage, int expected)
    {
        var org = await server.OrgAsync(stage);
        await server.Client.JsonAsync("POST", $"/v1/orgs/{org}/build-caches", server.Owner, """{"name":"builds"}""", CancellationToken);
        foreach (var path in (string[])["stats", "invocations", $"actions/{new string('a', 64)}"])
        {
            using var response = await server.Client.CallAsync("GET", $"/v1/orgs/{org}/build-caches/builds/{path}", server.Owner, null, CancellationToken);
            ((int)response.StatusCode).ShouldBe(expected, path);
            if (expected == 403)
            {
                (await response.ReadJsonAsync(CancellationToken)).Text("code").ShouldBe("stage_refused");
            }
        }
    }

    [Fact]
    public async Task A_flood_is_dropped_and_counted_instead_of_waited_for()
    {
        var access = await AccessAsync(await server.CacheAsync());
        using var log = new RequestLog(null!, server.Service<BuildCacheOptions>(), TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger<RequestLog>.Instance);
        var record = new RequestRecord { Access = access, Kind = RequestKind.BlobRead };
        for (var i = 0; i < 70_000; i++)
        {
            log.Record(record);
        }

        log.Dropped.ShouldBe(70_000 - 65_536);
    }

    private static long Number(JsonNode json, string name) => json[name]!.GetValue<long>();

    private static BlobDigest Action(string text) => Blob("action " + text);

    private static BlobDigest Blob(string text)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(text);
        return new BlobDigest(new BlobKey(BlobKind.Sha256, Digest.Of(bytes)), bytes.Length);
    }

    private async Task<BuildCacheAccess> AccessAsync(string cacheAndSub)
    {
        var http = new DefaultHttpContext();
        http.Request.Headers.Authorization = "Bearer " + server.Owner;
        return await server.Directory.FindAsync(http, $"acme/{cacheAndSub}", BuildCacheRights.None, CancellationToken);
    }

    private Task<JsonObject> GetAsync(string path) => server.Client.JsonAsync("GET", path, server.Owner, null, CancellationToken);

    private Task<JsonObject> ExplainAsync(BuildCacheAccess access, BlobDigest action) => GetAsync(
        $"/v1/orgs/acme/build-caches/{access.Cache.Name}/actions/{action.Key.Hash}{(action.Size < 0 ? "" : $":{action.Size}")}{(access.Sub.Length == 0 ? "" : $"?sub={access.Sub}")}");

    /// <summary>An entry in the store, and the call that wrote it.</summary>
    private async Task WriteAsync(BuildCacheAccess access, BlobDigest action, BlobDigest[] closure, string invocation)
    {
        var result = new Wire.Protos.ActionResult
        {
            ExecutionMetadata = new Wire.Protos.ExecutedActionMetadata
            {
                Worker = "here",
                ExecutionStartTimestamp = new Timestamp { Seconds = 100 },
                ExecutionCompletedTimestamp = new Timestamp { Seconds = 101, Nanos = 500_000_000 },
            },
        }.ToByteArray();
        await ActionEntries.PutAsync(access.Space, ActionEntries.KeyOf(access, action), action.Size, closure, result, CancellationToken);
        Record(access, RequestKind.ActionWrite, invocation, action, bytes: result.Length, cost: ExecutionCost.Of(result));
    }

    private void Record(
        BuildCacheAccess access, RequestKind kind, string? invocation, BlobDigest subject, long bytes = 0, MissReason reason = MissReason.None, TimeSpan cost = default, string target = "//app:main") =>
        server.Service<RequestLog>().Record(new RequestRecord
        {
            Access = access,
            Kind = kind,
            Reason = reason,
            Subject = subject,
            Blobs = 1,
            Missing = reason == MissReason.None ? 0 : 1,
            Bytes = bytes,
            Duration = TimeSpan.FromMilliseconds(3),
            Cost = cost,
            Metadata = invocation is null ? null : Convert.ToBase64String(new Wire.Protos.RequestMetadata
            {
                ToolDetails = new Wire.Protos.ToolDetails { ToolName = "bazel", ToolVersion = "7.7.1" },
                ToolInvocationId = invocation,
                ActionMnemonic = "CppCompile",
                TargetId = target,
            }.ToByteArray()),
        });
}
