using System.Text.Json;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Api;
using Slipway.Jobs.Queues;
using Slipway.Queue;
using Slipway.Resp;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>Queues themselves: settings, quotas, pauses, dead letters, schedules, events.</summary>
public sealed class AdminTests(JobsServer server) : IClassFixture<JobsServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Settings_change_with_the_etag_only_and_workers_go_by_them()
    {
        var queue = await server.QueueAsync();
        (await queue.RefusedAsync("PATCH", "", """{"settings":{"paused":true}}""", server.Owner)).Status.ShouldBe(428);
        var etag = await server.World.ETagAsync(queue.Url, server.Owner, CancellationToken);
        var changed = await server.Client.JsonAsync(
            "PATCH", queue.Url, server.Owner, """{"description":"mail","settings":{"types":{"mail":{"concurrency":1}},"retry":{"maxAttempts":3}}}""", CancellationToken, ("If-Match", etag));
        changed["settings"]!["retry"]!["maxAttempts"]!.GetValue<int>().ShouldBe(3);
        (await queue.RefusedAsync("PATCH", "", """{"description":"again"}""", server.Owner, ("If-Match", etag))).Status.ShouldBe(412);

        await queue.EnqueueAsync();
        await queue.EnqueueAsync();
        (await queue.LeaseAsync("""{"max":10}"""))[0]!["jobs"]!.AsArray().Count.ShouldBe(1);
        (await queue.LeaseAsync("""{"max":10}""")).ShouldBeEmpty();
        var type = (await queue.StatsAsync())["types"]!.AsArray().ShouldHaveSingleItem()!;
        type["running"]!.GetValue<long>().ShouldBe(1);
        type["held"]!.GetValue<long>().ShouldBe(1);

        etag = await server.World.ETagAsync(queue.Url, server.Owner, CancellationToken);
        await server.Client.JsonAsync("PATCH", queue.Url, server.Owner, """{"settings":{"types":{"mail":null}}}""", CancellationToken, ("If-Match", etag));
        (await queue.LeaseAsync("""{"max":10,"waitMs":20000}""")).ShouldHaveSingleItem();
    }

    [Theory]
    [InlineData("""{"weights":[1]}""", "/settings/weights")]
    [InlineData("""{"maxJobs":0}""", "/settings/maxJobs")]
    [InlineData("""{"deadOverflow":"burn"}""", "/settings/deadOverflow")]
    [InlineData("""{"retry":{"maxAttempts":101}}""", "/settings/retry/maxAttempts")]
    [InlineData("""{"types":{"mail":{"rate":-1}}}""", "/settings/types/mail/rate")]
    [InlineData("""{"types":{"a b":{}}}""", "/settings/types/a b")]
    [InlineData("""{"keepTrackedMs":0}""", "/settings/keepTrackedMs")]
    [InlineData("""{"types":{"":{"breakAfter":5}}}""", "/settings/types//breakAfter")]
    [InlineData("""{"types":{"":{"paused":true}}}""", "/settings/types//paused")]
    [InlineData("""{"maxDead":0}""", "/settings/maxDead")]
    [InlineData("""{"unknown":1}""", "/settings/unknown")]
    public async Task Bad_settings_are_refused_with_the_field_that_is_wrong(string settings, string pointer)
    {
        using var response = await server.Client.CallAsync("POST", "/v1/orgs/acme/queues", server.Owner, $$"""{"name":"never-made","settings":{{settings}}}""", CancellationToken);
        ((int)response.StatusCode).ShouldBe(400);
        (await response.ReadJsonAsync(CancellationToken))["errors"]![0]!.Text("pointer").ShouldBe(pointer);
    }

    [Fact]
    public async Task Pause_stops_leases_and_resume_starts_them_for_a_queue_and_for_a_type()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        await queue.AdminAsync("/pause", "{}");
        (await queue.LeaseAsync()).ShouldBeEmpty();
        (await queue.StatsAsync()).Text("pausedWhy").ShouldBe("settings");
        var waiting = queue.LeaseAsync("""{"max":1,"waitMs":30000}""");
        await queue.AdminAsync("/resume", "{}");
        (await waiting).ShouldHaveSingleItem();

        await queue.AdminAsync("/pause", """{"type":"mail"}""");
        await queue.EnqueueAsync();
        await queue.EnqueueAsync("""{"type":"sms"}""");
        (await queue.LeaseAsync()).ShouldHaveSingleItem()!["jobs"]![0]!.Text("type").ShouldBe("sms");
        var resumed = await queue.AdminAsync("/resume", """{"type":"mail"}""");
        resumed["settings"]!["types"]!.AsObject().Count.ShouldBe(0);
        (await queue.LeaseAsync("""{"waitMs":20000}""")).ShouldHaveSingleItem();
    }

    [Fact]
    public async Task Dead_letters_are_listed_by_page_redriven_and_purged()
    {
        var queue = await server.QueueAsync();
        for (var i = 0; i < 5; i++)
        {
            await queue.EnqueueAsync($$"""{"type":"t","payload":{{i}}}""");
        }

        var block = (await queue.LeaseAsync())[0]!.Text("id");
        await queue.AckAsync(block, $$"""{"ended":[{{string.Join(',', Enumerable.Range(0, 5).Select(i => $$"""{"index":{{i}},"kind":"dead","reason":"{{(i < 2 ? "odd" : "plain")}}","error":"because"}"""))}}]}""");
        var page = await queue.GetAsync("/dead-letters?pageSize=3", server.Member);
        page["items"]!.AsArray().Count.ShouldBe(3);
        var rest = await queue.GetAsync($"/dead-letters?pageSize=3&pageToken={page.Text("nextPageToken")}", server.Member);
        rest["items"]!.AsArray().Count.ShouldBe(2);
        rest.ContainsKey("nextPageToken").ShouldBeFalse();
        rest["items"]![0]!.Text("error").ShouldBe("because");

        (await FinishedAsync(queue, await queue.AdminAsync("/dead-letters/redrive", """{"reason":"odd"}""")))["done"]!.GetValue<long>().ShouldBe(2);
        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(2);
        var last = (await queue.GetAsync("/dead-letters"))["items"]![0]!.Text("id");
        (await FinishedAsync(queue, await queue.AdminAsync("/dead-letters/purge", $$"""{"ids":["{{last}}"]}""")))["done"]!.GetValue<long>().ShouldBe(1);
        (await FinishedAsync(queue, await queue.AdminAsync("/dead-letters/purge", "{}")))["done"]!.GetValue<long>().ShouldBe(2);
        (await queue.StatsAsync())["dead"]!.GetValue<long>().ShouldBe(0);
        (await queue.RefusedAsync("POST", "/dead-letters/purge", """{"ids":["1"]}""", server.Owner)).Status.ShouldBe(400);
    }

    [Fact]
    public async Task Slow_redrive_can_be_cancelled_and_is_alone()
    {
        var queue = await server.QueueAsync();
        await queue.PostAsync("/jobs/bulk", $$"""{"jobs":[{{string.Join(',', Enumerable.Repeat("""{"type":"t"}""", 100))}}]}""");
        var block = (await queue.LeaseAsync("""{"max":100}"""))[0]!.Text("id");
        await queue.AckAsync(block, $$"""{"ended":[{{string.Join(',', Enumerable.Range(0, 100).Select(i => $$"""{"index":{{i}},"kind":"dead"}"""))}}]}""");
        var operation = await queue.AdminAsync("/dead-letters/redrive", """{"perSecond":0.5}""");
        (await queue.RefusedAsync("POST", "/dead-letters/purge", "{}", server.Owner)).Status.ShouldBe(409);
        await queue.AdminAsync($"/operations/{operation.Text("id")}/cancel", null);
        (await FinishedAsync(queue, operation, "cancelled"))["done"]!.GetValue<long>().ShouldBeLessThan(100);
        (await queue.StatsAsync())["dead"]!.GetValue<long>().ShouldBeGreaterThan(50);
    }

    [Fact]
    public async Task Schedule_fires_each_slot_once()
    {
        var queue = await server.QueueAsync();
        var made = await server.Client.JsonAsync(
            "PUT", queue.Url + "/schedules/tick", server.Owner, """{"cron":"* * * * * *","job":{"type":"tick","payload":{"a":1}}}""", CancellationToken);
        made.Text("timeZone").ShouldBe("UTC");
        made["nextAt"].ShouldNotBeNull();
        var job = (await queue.LeaseAsync("""{"waitMs":20000}"""))[0]!["jobs"]![0]!;
        job.Text("type").ShouldBe("tick");
        job["payload"]!.ToJsonString().ShouldBe("""{"a":1}""");
        (await queue.GetAsync("/schedules/tick"))["lastFiredAt"].ShouldNotBeNull();

        var etag = await server.World.ETagAsync(queue.Url + "/schedules/tick", server.Owner, CancellationToken);
        var paused = await server.Client.JsonAsync(
            "PUT", queue.Url + "/schedules/tick", server.Owner, """{"cron":"* * * * * *","paused":true,"job":{"type":"tick"}}""", CancellationToken, ("If-Match", etag));
        paused.ContainsKey("nextAt").ShouldBeFalse();
        (await queue.RefusedAsync("PUT", "/schedules/tick", """{"cron":"* * * * * *","job":{"type":"tick"}}""", server.Owner, ("If-Match", etag))).Status.ShouldBe(412);
        using var gone = await server.Client.CallAsync("DELETE", queue.Url + "/schedules/tick", server.Owner, null, CancellationToken);
        ((int)gone.StatusCode).ShouldBe(204);
        (await queue.GetAsync("/schedules"))["items"]!.AsArray().ShouldBeEmpty();
    }

    [Theory]
    [InlineData("""{"cron":"61 * * * *","job":{"type":"t"}}""", "/cron")]
    [InlineData("""{"cron":"* * * * *","timeZone":"Mars/Base","job":{"type":"t"}}""", "/cron")]
    [InlineData("""{"cron":"* * * * *","catchUp":"maybe","job":{"type":"t"}}""", "/catchUp")]
    [InlineData("""{"cron":"* * * * *","job":{"type":"t","delayMs":5}}""", "/job")]
    public async Task Bad_schedules_are_refused_with_the_field_that_is_wrong(string body, string pointer)
    {
        var queue = await server.QueueAsync();
        var (status, problem, _) = await queue.RefusedAsync("PUT", "/schedules/bad", body, server.Owner);
        status.ShouldBe(400);
        problem["errors"]![0]!.Text("pointer").ShouldBe(pointer);
    }

    [Fact]
    public async Task Queue_with_jobs_is_deleted_by_force_only_and_leaves_nothing_in_redis()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        (await queue.RefusedAsync("DELETE", "", null, server.Owner)).Problem.Text("code").ShouldBe("conflict");
        using var gone = await server.Client.CallAsync("DELETE", queue.Url + "?force=true", server.Owner, null, CancellationToken);
        ((int)gone.StatusCode).ShouldBe(204);
        (await queue.RefusedAsync("GET", "/stats", null)).Status.ShouldBe(404);
        var again = await server.QueueAsync(name: queue.Name);
        (await again.LeaseAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_people_do_to_a_queue_is_in_the_orgs_events()
    {
        var queue = await server.QueueAsync();
        await queue.AdminAsync("/pause", "{}");
        await queue.AdminAsync("/resume", """{"type":"mail"}""");
        await queue.AdminAsync("/dead-letters/purge", "{}");
        var events = (await server.Client.JsonAsync("GET", "/v1/orgs/acme/events?pageSize=200", server.Owner, null, CancellationToken))["items"]!.AsArray();
        events.Where(one => one!["target"]!.Text("name") == "acme/" + queue.Name).Select(one => one!.Text("action"))
            .ShouldBe(["queue.purged", "queue.resumed", "queue.paused", "queue.created"]);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Settings_in_redis_that_differ_from_the_databases_are_put_right()
    {
        var queue = await server.QueueAsync();
        await queue.StatsAsync();
        var id = (await queue.GetAsync("")).Text("id");
        await using var redis = await RespConnection.ConnectAsync(new RespOptions { Url = server.Running.Redis.Url }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, CancellationToken);
        await using (var broker = await RedisBroker.OpenAsync(redis, id, new BrokerOptions(), CancellationToken))
        {
            await broker.ConfigureAsync(now => now with { Paused = true }, CancellationToken);
        }

        (await queue.StatsAsync()).Text("pausedWhy").ShouldBe("settings");
        await Eventually.TrueAsync(async _ => !(await queue.StatsAsync()).ContainsKey("pausedWhy"), CancellationToken, TimeSpan.FromSeconds(40));
    }

    [Fact]
    public async Task Settings_are_the_same_whichever_way_they_were_kept()
    {
        var queue = await server.QueueAsync("""
            {"weighted":true,"weights":[9,8,7,6,5,4,3,2],"maxAgeMs":5000,"deadOverflow":"dropOldest","retry":{"maxAttempts":3},"keepTrackedMs":60000,
             "types":{"zebra":{"rate":0.1,"burst":3},"a":{"concurrency":2},"":{"concurrency":50}}}
            """);
        var shown = JsonSerializer.Deserialize((await queue.GetAsync(""))["settings"], ApiJson.Default.JobQueueSettings)!;
        await using var redis = await RespConnection.ConnectAsync(new RespOptions { Url = server.Running.Redis.Url }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, CancellationToken);
        await queue.StatsAsync();
        await using var broker = await RedisBroker.OpenAsync(redis, (await queue.GetAsync("")).Text("id"), new BrokerOptions(), CancellationToken);
        var kept = SettingsMapping.Shown(await broker.SettingsAsync(CancellationToken));
        SettingsMapping.Same(kept, shown).ShouldBeTrue($"{JsonSerializer.Serialize(kept, ApiJson.Default.JobQueueSettings)}");
        SettingsMapping.Same(kept, shown with { MaxDead = 1 }).ShouldBeFalse();
    }

    [Fact]
    public async Task Overview_shows_all_queues_and_the_quota()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        var overview = await server.Client.JsonAsync("GET", "/v1/orgs/acme/jobs", server.Owner, null, CancellationToken);
        overview["queues"]!.AsArray().Single(one => one!.Text("name") == queue.Name)!["ready"]!.GetValue<long>().ShouldBe(1);
        overview["quota"]!["maxQueues"]!.GetValue<int>().ShouldBe(1000);
        overview["quota"]!["bytes"]!.GetValue<long>().ShouldBeGreaterThan(0);
    }

    private static Task<JsonObject> FinishedAsync(TestQueue queue, JsonObject operation, string state = "done") =>
        Eventually.ValueAsync(
            async _ => await queue.GetAsync($"/operations/{operation.Text("id")}?wait=5") is { } now && now.Text("state") == state ? now : null, CancellationToken);
}
