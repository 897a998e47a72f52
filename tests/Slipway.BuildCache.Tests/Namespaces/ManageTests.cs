using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests.Namespaces;

public sealed class ManageTests(BuildCacheServer server) : IClassFixture<BuildCacheServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_new_cache_has_bounds_and_is_private()
    {
        var name = await server.CacheAsync();
        var cache = await GetAsync($"/v1/orgs/acme/build-caches/{name}");
        cache.Text("instanceName").ShouldBe($"acme/{name}");
        cache["quotaBytes"]!.GetValue<long>().ShouldBe(50L << 30);
        cache["maxBlobBytes"]!.GetValue<long>().ShouldBe(8L << 30);
        cache["validateActions"]!.GetValue<bool>().ShouldBeTrue();
        cache["anonymousRead"]!.GetValue<bool>().ShouldBeFalse();
        cache.ContainsKey("retentionDays").ShouldBeFalse();
        cache.Text("stage").ShouldBe("beta");
    }

    [Fact]
    public async Task A_change_is_seen_by_the_protocols_at_once_and_told_in_the_event_log()
    {
        var name = await server.CacheAsync(settings: "\"retentionDays\":7");
        var path = $"/v1/orgs/acme/build-caches/{name}";
        var etag = await server.World.ETagAsync(path, server.Owner, CancellationToken);
        await server.Client.JsonAsync("PATCH", path, server.Owner, """{"quotaBytes":1073741824,"retentionDays":0,"assetHosts":["*.example.org"]}""", CancellationToken, ("If-Match", etag));

        var settings = server.Directory.Find("acme", name)!;
        settings.QuotaBytes.ShouldBe(1 << 30);
        settings.Retention.ShouldBeNull();
        settings.AssetHosts.ShouldBe(["*.example.org"]);
        settings.MaxBlobBytes.ShouldBe(8L << 30);
        var told = (await GetAsync("/v1/orgs/acme/events?pageSize=200"))["items"]!.AsArray().Single(one => one!.Text("action") == "build_cache.updated" && one!["target"]!.Text("name") == $"acme/{name}");
        told!["details"]!["retentionDays"]!.ToJsonString().ShouldBe("[7,null]");
        (await server.RefusedAsync("PATCH", path, server.Owner, """{"quotaBytes":2147483648}""", ("If-Match", etag))).Status.ShouldBe(412);
        (await server.RefusedAsync("PATCH", path, server.Owner, """{"quotaBytes":2147483648}""")).Status.ShouldBe(428);
    }

    [Fact]
    public async Task A_deleted_cache_is_gone_and_its_name_free()
    {
        var name = await server.CacheAsync();
        var before = server.Directory.Find("acme", name)!.Id;
        (await server.Client.CallAsync("DELETE", $"/v1/orgs/acme/build-caches/{name}", server.Owner, null, CancellationToken)).EnsureSuccessStatusCode();
        server.Directory.Find("acme", name).ShouldBeNull();
        (await server.RefusedAsync("GET", $"/v1/orgs/acme/build-caches/{name}", server.Owner)).Status.ShouldBe(404);
        await server.Client.JsonAsync("POST", "/v1/orgs/acme/build-caches", server.Owner, $$"""{"name":"{{name}}"}""", CancellationToken);
        server.Directory.Find("acme", name)!.Id.ShouldNotBe(before);
    }

    [Theory]
    [InlineData("""{"name":"Upper"}""", "/name")]
    [InlineData("""{"name":"blobs"}""", "/name")]
    [InlineData("""{"name":"ok","quotaBytes":1000}""", "/quotaBytes")]
    [InlineData("""{"name":"ok","retentionDays":-1}""", "/retentionDays")]
    [InlineData("""{"name":"ok","maxBlobBytes":1}""", "/maxBlobBytes")]
    [InlineData("""{"name":"ok","assetHosts":["example.org","EXAMPLE.org"]}""", "/assetHosts/1")]
    [InlineData("""{"name":"ok","assetHosts":["*"]}""", "/assetHosts/0")]
    public async Task Each_fault_is_told_with_its_field(string body, string pointer)
    {
        var (status, problem) = await server.RefusedAsync("POST", "/v1/orgs/acme/build-caches", server.Owner, body);
        status.ShouldBe(400);
        problem["errors"]!.AsArray().Single()!.Text("pointer").ShouldBe(pointer);
    }

    [Fact]
    public async Task A_name_is_taken_once()
    {
        var name = await server.CacheAsync();
        var (status, problem) = await server.RefusedAsync("POST", "/v1/orgs/acme/build-caches", server.Owner, $$"""{"name":"{{name}}"}""");
        status.ShouldBe(409);
        problem.Text("detail").ShouldContain(name);
    }

    [Fact]
    public async Task A_change_made_on_another_server_arrives_within_seconds()
    {
        var name = await server.CacheAsync();
        await using (var elsewhere = server.Running.Database.CreateCommand(
            "update build_cache set max_blob_bytes = 2097152, version = version + 1 where name = $1; ".Replace("$1", $"'{name}'", StringComparison.Ordinal)
            + "update build_cache_epoch set epoch = epoch + 1"))
        {
            await elsewhere.ExecuteNonQueryAsync(CancellationToken);
        }

        await Eventually.TrueAsync(() => server.Directory.Find("acme", name)!.MaxBlobBytes == 2 << 20, CancellationToken);
    }

    private Task<JsonObject> GetAsync(string path) => server.Client.JsonAsync("GET", path, server.Owner, null, CancellationToken);
}
