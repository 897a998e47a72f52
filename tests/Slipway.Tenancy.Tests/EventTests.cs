using System.Globalization;
using System.Text.Json.Nodes;
using Dapper;
using Shouldly;
using Slipway.Api;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class EventTests
{
    private static CancellationToken Cancelled => TenancyHost.Cancelled;

    [Fact]
    [Trait("speed", "slow")]
    public async Task Seqs_have_no_gap_and_the_chain_holds_when_many_write_and_some_fail()
    {
        await using var host = await StartWithOrgAsync();
        await Task.WhenAll(Enumerable.Range(0, 24).Select(i => host.Client.CallAsync(
            "POST", "/v1/orgs/acme/service-accounts", host.AdminToken, $$"""{"name":"robot-{{i % 16}}","role":"member"}""", Cancelled)));
        var events = await ListAsync(host, "?pageSize=200");
        events.Count.ShouldBe(2 + 16);
        events.Select(one => one!["seq"]!.GetValue<long>()).ShouldBe(Enumerable.Range(1, 18).Select(seq => (long)seq).Reverse());
        var whole = await VerifyAsync(host);
        whole["entries"]!.GetValue<long>().ShouldBe(18);
        whole.Text("head").ShouldBe(events[0]!.Text("hash"));
        whole.ContainsKey("firstBadSeq").ShouldBeFalse();
    }

    [Theory]
    [InlineData("update event set body = replace(body, 'robot', 'human') where seq = 4", 4)]
    [InlineData("update event set target_name = 'human' where seq = 4", 4)]
    [InlineData("update event set at = at + interval '1 s' where seq = 3", 3)]
    [InlineData("update event set hash = sha256('x') where seq = 5", 5)]
    [InlineData("delete from event where seq = 3", 3)]
    [InlineData("delete from event where seq = 6", 6)]
    [InlineData("delete from event where seq = 1", 1)]
    [InlineData("update event set seq = case seq when 3 then 1003 else 1004 end where seq in (3, 4); update event set seq = case seq when 1003 then 4 else 3 end where seq > 1000", 3)]
    public async Task The_check_names_the_first_event_that_was_tampered_with(string tampering, long firstBad)
    {
        await using var host = await StartWithOrgAsync();
        for (var i = 0; i < 4; i++)
        {
            await AddRobotAsync(host, i);
        }

        await using (var connection = await host.Database.Database.OpenAsync(Cancelled))
        {
            await connection.ExecuteAsync(tampering.Replace("where ", "where chain_id = (select id from org) and ", StringComparison.Ordinal));
        }

        var verified = await VerifyAsync(host);
        verified["firstBadSeq"]!.GetValue<long>().ShouldBe(firstBad);
        verified.Text("problem").ShouldNotBeEmpty();
    }

    [Fact]
    public async Task An_event_tells_who_did_what_through_which_credential()
    {
        await using var host = await StartWithOrgAsync();
        var created = (await ListAsync(host, "?action=org.created"))[0]!;
        created["actor"]!.Text("name").ShouldBe("admin");
        created["actor"]!.Text("via").ShouldBe("session");
        created["actor"]!.Text("credentialId").ShouldStartWith("ses_");
        created["target"]!.Text("id").ShouldStartWith("org_");
        created.Text("requestId").ShouldNotBeEmpty();
        created.Text("ip").ShouldBe("127.0.0.1");
    }

    [Fact]
    public async Task No_event_is_left_by_a_change_that_fails()
    {
        await using var host = await StartWithOrgAsync();
        await Should.ThrowAsync<InvalidOperationException>(() => host.Get<Changes>().CommitAsync<int>(ChangeOrigin.System, (change, _) =>
        {
            change.Record(null, "test.failed", new EventTarget("test", "1", "one"));
            change.AfterCommit(() => throw new NotSupportedException());
            throw new InvalidOperationException();
        }, Cancelled));
        (await host.Client.JsonAsync("GET", "/v1/events?action=test.failed", host.AdminToken, null, Cancelled))["items"]!.AsArray().ShouldBeEmpty();
    }

    [Fact]
    public async Task Changes_that_touch_two_chains_in_opposite_order_do_not_wait_for_each_other()
    {
        await using var host = await StartWithOrgAsync();
        var org = (await host.Client.JsonAsync("GET", "/v1/orgs/acme", host.AdminToken, null, Cancelled)).Text("id");
        Slipway.Data.EntityId.TryRead("org", org, out var id).ShouldBeTrue();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => host.Get<Changes>().CommitAsync(ChangeOrigin.System, (change, _) =>
        {
            var target = new EventTarget("test", "1", "one");
            foreach (var chain in i % 2 == 0 ? (Guid?[])[null, id] : [id, null])
            {
                change.Record(chain, "test.done", target, new JsonObject { ["b"] = 1, ["a"] = new JsonArray("ü", null) });
            }

            return Task.FromResult(0);
        }, Cancelled)));
        (await VerifyAsync(host))["entries"]!.GetValue<long>().ShouldBe(22);
        (await host.Client.JsonAsync("GET", "/v1/audit/verification", host.AdminToken, null, Cancelled)).ContainsKey("firstBadSeq").ShouldBeFalse();
    }

    [Fact]
    public async Task Following_with_after_reads_forward()
    {
        await using var host = await StartWithOrgAsync();
        await AddRobotAsync(host, 1);
        (await ListAsync(host, "?after=1")).Select(one => one!["seq"]!.GetValue<long>()).ShouldBe([2, 3]);
        ((int)(await host.Client.CallAsync("GET", "/v1/orgs/acme/events?after=-1", host.AdminToken, null, Cancelled)).StatusCode).ShouldBe(400);
    }

    [Fact]
    public async Task The_stream_gives_what_was_missed_and_then_what_happens()
    {
        await using var host = await StartWithOrgAsync();
        using var response = await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream", host.AdminToken, null, Cancelled, ("Last-Event-ID", "1"));
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        response.Headers.GetValues("X-Accel-Buffering").ShouldBe(["no"]);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Cancelled));
        (await NextAsync(reader, "id: ")).ShouldBe("2");
        (await NextAsync(reader, "event: ")).ShouldBe("member.added");
        await AddRobotAsync(host, 1);
        (await NextAsync(reader, "id: ")).ShouldBe("3");
        (await NextAsync(reader, "event: ")).ShouldBe("service_account.created");
        JsonNode.Parse(await NextAsync(reader, "data: "))!["target"]!.Text("name").ShouldBe("robot-1");
    }

    [Fact]
    public async Task The_stream_finds_what_another_server_wrote()
    {
        await using var host = await StartWithOrgAsync();
        await using var other = await TenancyHost.StartAsync(beside: host);
        using var response = await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream?after=2", host.AdminToken, null, Cancelled);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Cancelled));
        await NextAsync(reader, "retry: ");
        await AddRobotAsync(other, 1, host.AdminToken);
        var next = NextAsync(reader, "id: ");
        await AdvanceUntilAsync(host, next, TimeSpan.FromSeconds(1));
        (await next).ShouldBe("3");
    }

    [Fact]
    public async Task The_stream_is_cut_when_the_credential_is_revoked()
    {
        await using var host = await StartWithOrgAsync();
        var issued = await host.Client.JsonAsync("POST", "/v1/keys", host.AdminToken, AccessWorld.KeyBody("events:read:acme"), Cancelled);
        using var response = await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream", issued.Text("secret"), null, Cancelled);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Cancelled));
        await NextAsync(reader, "retry: ");
        (await host.Client.CallAsync("DELETE", "/v1/keys/" + issued["key"]!.Text("id"), host.AdminToken, null, Cancelled)).EnsureSuccessStatusCode();
        (await NextAsync(reader, "event: ")).ShouldBe("end");
        (await reader.ReadToEndAsync(Cancelled)).ShouldContain("access ended");
    }

    [Fact]
    public async Task The_stream_beats_every_15_seconds_and_ends_after_an_hour()
    {
        await using var host = await StartWithOrgAsync();
        using var response = await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream", host.AdminToken, null, Cancelled);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Cancelled));
        await NextAsync(reader, "retry: ");
        var started = host.Time.GetUtcNow();
        var beat = NextAsync(reader, ": ");
        await AdvanceUntilAsync(host, beat, TimeSpan.FromSeconds(1));
        (await beat).ShouldBe("still here");
        (host.Time.GetUtcNow() - started).ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(15));
        var end = NextAsync(reader, "event: ");
        await AdvanceUntilAsync(host, end, TimeSpan.FromMinutes(10));
        (await end).ShouldBe("end");
        (host.Time.GetUtcNow() - started).ShouldBeGreaterThanOrEqualTo(TimeSpan.FromHours(1));
    }

    [Fact]
    public async Task One_credential_may_hold_16_streams()
    {
        await using var host = await StartWithOrgAsync();
        var open = new List<HttpResponseMessage>();
        for (var i = 0; i < 16; i++)
        {
            open.Add(await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream", host.AdminToken, null, Cancelled));
        }

        using var refused = await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream", host.AdminToken, null, Cancelled);
        ((int)refused.StatusCode).ShouldBe(429);
        open.ForEach(response => response.Dispose());
        await Eventually.TrueAsync(
            async token => (await host.Client.CallAsync("GET", "/v1/orgs/acme/events/stream", host.AdminToken, null, token)).IsSuccessStatusCode, Cancelled);
    }

    private static async Task<TenancyHost> StartWithOrgAsync()
    {
        var host = await TenancyHost.StartAsync();
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled);
        return host;
    }

    private static Task AddRobotAsync(TenancyHost host, int number, string? token = null) => host.Client.JsonAsync(
        "POST",
        "/v1/orgs/acme/service-accounts",
        token ?? host.AdminToken,
        string.Create(CultureInfo.InvariantCulture, $$"""{"name":"robot-{{number}}","role":"member"}"""),
        Cancelled);

    private static async Task<JsonArray> ListAsync(TenancyHost host, string query) =>
        (await host.Client.JsonAsync("GET", "/v1/orgs/acme/events" + query, host.AdminToken, null, Cancelled))["items"]!.AsArray();

    private static Task<JsonObject> VerifyAsync(TenancyHost host) =>
        host.Client.JsonAsync("GET", "/v1/orgs/acme/audit/verification", host.AdminToken, null, Cancelled);

    private static async Task<string> NextAsync(StreamReader reader, string start)
    {
        while (await reader.ReadLineAsync(Cancelled) is { } line)
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
            {
                return line[start.Length..];
            }
        }

        throw new EndOfStreamException($"The stream ended before a line with '{start}'.");
    }

    // The stream sleeps on the clock again and again; move it until what is awaited has come.
    private static Task AdvanceUntilAsync(TenancyHost host, Task awaited, TimeSpan step) => Eventually.TrueAsync(
        () =>
        {
            if (!awaited.IsCompleted)
            {
                host.Time.Advance(step);
            }

            return awaited.IsCompleted;
        },
        Cancelled);
}
