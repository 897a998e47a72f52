using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>Jobs in, out, and ended.</summary>
public sealed class WorkTests(JobsServer server) : IClassFixture<JobsServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Job_goes_from_producer_to_worker_and_is_gone_when_acknowledged()
    {
        var queue = await server.QueueAsync();
        var added = await queue.PostAsync("/jobs", """{"type":"mail","payload":{"to":"a@b.c","n":1.50}}""");
        added.Text("outcome").ShouldBe("added");
        var lease = await queue.PostAsync("/lease", """{"max":10,"worker":"w1","leaseMs":60000}""");
        var block = lease["blocks"]!.AsArray().ShouldHaveSingleItem()!;
        block.Text("queue").ShouldBe(queue.Name);
        var job = block["jobs"]!.AsArray().ShouldHaveSingleItem()!;
        job.Text("id").ShouldBe(added.Text("id"));
        job["payload"]!.ToJsonString().ShouldBe("""{"to":"a@b.c","n":1.50}""");
        job["attempt"]!.GetValue<int>().ShouldBe(1);
        (await queue.AckAsync(block.Text("id"))).ShouldBe("acked");
        (await queue.AckAsync(block.Text("id"))).ShouldBe("late");
        var stats = await queue.StatsAsync();
        stats["readyTotal"]!.GetValue<long>().ShouldBe(0);
        stats["leased"]!.GetValue<long>().ShouldBe(0);
        stats["totals"]!["completed"]!.GetValue<long>().ShouldBe(1);
    }

    [Fact]
    public async Task Payload_keeps_its_bytes_whatever_they_are()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync("""{"type":"t","payload": [1, "\u00e9",  {"b":2,"a":1}] }""");
        await queue.EnqueueAsync("""{"type":"t","payloadBytes":"AAH//w=="}""");
        await queue.EnqueueAsync("""{"type":"t"}""");
        var response = await server.Client.CallAsync("POST", queue.Url + "/lease", server.Member, """{"max":10}""", CancellationToken);
        var text = await response.Content.ReadAsStringAsync(CancellationToken);
        text.ShouldContain("""[1, "\u00e9",  {"b":2,"a":1}]""");
        var jobs = JsonNode.Parse(text)!["blocks"]![0]!["jobs"]!.AsArray();
        jobs[1]!.Text("payloadBytes").ShouldBe("AAH//w==");
        jobs[2]!.AsObject().ContainsKey("payload").ShouldBeFalse();
    }

    [Fact]
    public async Task Raw_lease_gives_bytes_always()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync("""{"type":"t","payload":7}""");
        (await queue.LeaseAsync("""{"raw":true}"""))[0]!["jobs"]![0]!.Text("payloadBytes").ShouldBe("Nw==");
    }

    [Fact]
    public async Task Jobs_of_a_block_end_one_by_one_in_different_ways()
    {
        var queue = await server.QueueAsync("""{"retry":{"maxAttempts":1,"firstDelayMs":1,"maxDelayMs":1}}""");
        for (var i = 0; i < 6; i++)
        {
            await queue.EnqueueAsync($$"""{"type":"t","payload":{{i}}}""");
        }

        var block = (await queue.LeaseAsync())[0]!;
        block["jobs"]!.AsArray().Count.ShouldBe(6);
        (await queue.AckAsync(block.Text("id"), """
            {"done":[0,5],"ended":[{"index":1,"kind":"failed","reason":"exit 1","error":"boom"},{"index":2,"kind":"retry","retryAfterMs":3600000},
             {"index":3,"kind":"dead","reason":"no such user"},{"index":4,"kind":"released"}]}
            """)).ShouldBe("acked");
        var stats = await queue.StatsAsync();
        stats["leased"]!.GetValue<long>().ShouldBe(0);
        stats["readyTotal"]!.GetValue<long>().ShouldBe(1);
        stats["delayed"]!.GetValue<long>().ShouldBe(1);
        stats["dead"]!.GetValue<long>().ShouldBe(2);
        stats["totals"]!["completed"]!.GetValue<long>().ShouldBe(2);
        stats["deadReasons"]!["no such user"]!.GetValue<long>().ShouldBe(1);
        (await queue.LeaseAsync())[0]!["jobs"]![0]!["attempt"]!.GetValue<int>().ShouldBe(1, "a released job's run does not count");
    }

    [Fact]
    public async Task Block_without_lists_is_done_as_a_whole_with_the_unique_keys_of_its_jobs()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync("""{"type":"t","unique":"only"}""");
        await queue.EnqueueAsync("""{"type":"t"}""");
        (await queue.PostAsync("/jobs", """{"type":"t","unique":"only"}""")).Text("outcome").ShouldBe("duplicate");
        (await queue.AckAsync((await queue.LeaseAsync())[0]!.Text("id"))).ShouldBe("acked");
        (await queue.PostAsync("/jobs", """{"type":"t","unique":"only"}""")).Text("outcome").ShouldBe("added");
        (await queue.TotalAsync("completed")).ShouldBe(2);
    }

    [Fact]
    public async Task Lease_closes_finished_blocks_in_the_same_step_and_tells_the_late_ones()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        await queue.EnqueueAsync("""{"type":"t","unique":"key"}""");
        var first = (await queue.LeaseAsync("""{"max":1}"""))[0]!.Text("id");
        var second = (await queue.LeaseAsync("""{"max":1}"""))[0]!.Text("id");
        var closing = await queue.PostAsync("/lease", $$"""{"max":0,"finished":["{{first}}","{{second}}"]}""");
        closing["late"]!.AsArray().ShouldBeEmpty();
        (await queue.TotalAsync("completed")).ShouldBe(2);
        closing = await queue.PostAsync("/lease", $$"""{"max":0,"finished":["{{first}}","{{second}}"]}""");
        closing["late"]!.AsArray().Select(id => id!.GetValue<string>()).ShouldBe([first, second], ignoreOrder: true);
    }

    [Fact]
    public async Task Waiting_lease_gets_the_job_that_comes()
    {
        var queue = await server.QueueAsync();
        var waiting = queue.LeaseAsync("""{"max":1,"waitMs":30000}""");
        var other = queue.LeaseAsync("""{"max":1,"waitMs":30000}""");
        await queue.EnqueueAsync();
        var served = await Task.WhenAny(waiting, other);
        (await served).ShouldHaveSingleItem();
        (served == waiting ? other : waiting).IsCompleted.ShouldBeFalse();
        await queue.EnqueueAsync();
        (await (served == waiting ? other : waiting)).ShouldHaveSingleItem();
    }

    [Fact]
    public async Task Waiting_lease_gets_a_delayed_job_when_it_is_due()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync("""{"type":"t","delayMs":300}""");
        (await queue.LeaseAsync("""{"max":1,"waitMs":20000}""")).ShouldHaveSingleItem();
    }

    [Fact]
    public async Task Client_that_leaves_while_it_waits_takes_no_job_with_it()
    {
        var queue = await server.QueueAsync();
        using (var gone = CancellationTokenSource.CreateLinkedTokenSource(CancellationToken))
        {
            var waiting = server.Client.CallAsync("POST", queue.Url + "/lease", server.Member, """{"max":1,"waitMs":30000,"leaseMs":3600000,"worker":"gone"}""", gone.Token);
            await Eventually.TrueAsync(async _ => (await queue.PostAsync("/lease", """{"max":0}"""))["more"] is not null && !waiting.IsCompleted, CancellationToken);
            await gone.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(() => waiting);
        }

        await queue.EnqueueAsync();
        (await queue.LeaseAsync("""{"max":1,"waitMs":30000}""")).ShouldHaveSingleItem();
        (await queue.StatsAsync())["leased"]!.GetValue<long>().ShouldBe(1);
    }

    [Fact]
    public async Task Lost_lease_goes_to_the_next_worker_and_the_first_is_late()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        var first = (await queue.LeaseAsync("""{"leaseMs":1000}"""))[0]!;
        var second = (await queue.LeaseAsync("""{"waitMs":20000}"""))[0]!;
        second["jobs"]![0]!["lostLeases"]!.GetValue<int>().ShouldBe(1);
        second["token"]!.GetValue<long>().ShouldBeGreaterThan(first["token"]!.GetValue<long>());
        (await queue.AckAsync(first.Text("id"))).ShouldBe("late");
        (await queue.PostAsync($"/blocks/{first.Text("id")}/extend", "{}"))["blocks"]![0]!.Text("state").ShouldBe("late");
        (await queue.PostAsync("/extend", $$"""{"blocks":["{{second.Text("id")}}"],"leaseMs":60000}"""))["blocks"]![0]!.Text("state").ShouldBe("extended");
        (await queue.PostAsync("/ack", $$"""{"blocks":[{"id":"{{second.Text("id")}}"},{"id":"{{first.Text("id")}}"}]}"""))["blocks"]!.AsArray()
            .Select(state => state!.Text("state")).ShouldBe(["acked", "late"]);
    }

    [Fact]
    public async Task Block_of_another_queue_is_not_known()
    {
        var queue = await server.QueueAsync();
        var other = await server.QueueAsync();
        await queue.EnqueueAsync();
        var block = (await queue.LeaseAsync())[0]!.Text("id");
        (await other.AckAsync(block)).ShouldBe("late");
        (await other.PostAsync($"/blocks/{block}/extend", "{}"))["blocks"]![0]!.Text("state").ShouldBe("late");
        (await other.PostAsync("/lease", $$"""{"max":0,"finished":["{{block}}"]}"""))["late"]!.AsArray().Count.ShouldBe(1);
        (await queue.AckAsync(block)).ShouldBe("acked");
    }

    [Theory]
    [InlineData("junk")]
    [InlineData("1.1.80.0.w~0")]
    [InlineData("1.1.80.0.w~1001")]
    [InlineData("?1.1.80.0.w~1")]
    [InlineData("1.1.80.0.w~9~zz")]
    [InlineData("1.1.80.0.w~9~ffffff")]
    public async Task Made_up_block_ids_are_refused(string id)
    {
        var queue = await server.QueueAsync();
        (await queue.RefusedAsync("POST", $"/blocks/{Uri.EscapeDataString(id)}/ack", "{}")).Status.ShouldBe(400);
        (await queue.RefusedAsync("POST", "/ack", $$"""{"blocks":[{"id":"{{id}}"}]}""")).Problem["errors"]![0]!.Text("pointer").ShouldBe("/blocks/0/id");
    }

    [Fact]
    public async Task Several_queues_are_leased_from_in_their_order()
    {
        var urgent = await server.QueueAsync();
        var bulk = await server.QueueAsync();
        await bulk.EnqueueAsync();
        await urgent.EnqueueAsync();
        async Task<JsonArray> LeaseAsync(int wait) => (await server.Client.JsonAsync(
            "POST", "/v1/orgs/acme/lease", server.Member, $$"""{"queues":["{{urgent.Name}}","{{bulk.Name}}"],"max":5,"waitMs":{{wait}}}""", CancellationToken))["blocks"]!.AsArray();
        (await LeaseAsync(0))[0]!.Text("queue").ShouldBe(urgent.Name);
        (await LeaseAsync(0))[0]!.Text("queue").ShouldBe(bulk.Name);
        (await LeaseAsync(0)).ShouldBeEmpty();
        var waiting = LeaseAsync(30000);
        await bulk.EnqueueAsync();
        (await waiting)[0]!.Text("queue").ShouldBe(bulk.Name);
    }

    [Fact]
    public async Task Repeated_lease_with_one_key_gives_the_same_block()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        await queue.EnqueueAsync();
        var first = await queue.PostAsync("/lease", """{"max":1}""", null, ("Idempotency-Key", "once"));
        var again = await queue.PostAsync("/lease", """{"max":1}""", null, ("Idempotency-Key", "once"));
        again.ToJsonString().ShouldBe(first.ToJsonString());
        (await queue.RefusedAsync("POST", "/lease", """{"max":2}""", null, ("Idempotency-Key", "once"))).Problem.Text("code").ShouldBe("idempotency_key_reused");
    }

    [Fact]
    public async Task Tracked_job_tells_progress_result_and_cancellation()
    {
        var queue = await server.QueueAsync();
        var id = await queue.EnqueueAsync("""{"type":"t","track":true}""");
        (await queue.GetAsync($"/jobs/{id}")).Text("state").ShouldBe("ready");
        var block = (await queue.LeaseAsync())[0]!.Text("id");
        var running = await queue.PostAsync($"/jobs/{id}/progress", """{"progress":40,"note":"half way"}""");
        running.Text("state").ShouldBe("running");
        running["progress"]!.GetValue<double>().ShouldBe(40);
        (await queue.PostAsync($"/jobs/{id}/cancel", null))["cancelRequested"]!.GetValue<bool>().ShouldBeTrue();
        await Eventually.TrueAsync(async _ => (await queue.PostAsync($"/blocks/{block}/extend", "{}"))["cancelled"]!.AsArray().Any(one => one!.GetValue<Guid>() == id), CancellationToken);
        (await queue.AckAsync(block, """{"ended":[{"index":0,"kind":"completed","result":{"sent":3}}]}""")).ShouldBe("acked");
        var ended = await queue.GetAsync($"/jobs/{id}");
        ended.Text("state").ShouldBe("completed");
        ended["result"]!.ToJsonString().ShouldBe("""{"sent":3}""");
        (await queue.RefusedAsync("POST", $"/jobs/{id}/cancel", null)).Status.ShouldBe(409);
        (await queue.RefusedAsync("GET", $"/jobs/{Guid.NewGuid()}", null)).Status.ShouldBe(404);
    }

    [Fact]
    public async Task Batch_calls_back_once_when_it_is_closed_and_done()
    {
        var queue = await server.QueueAsync();
        var batch = (await queue.PostAsync("/batches", """{"callback":{"type":"report"}}""")).Text("id");
        await queue.PostAsync("/jobs/bulk", $$"""{"jobs":[{"type":"t","batch":"{{batch}}"},{"type":"t","batch":"{{batch}}"}]}""");
        (await queue.AckAsync((await queue.LeaseAsync())[0]!.Text("id"))).ShouldBe("acked");
        var open = await queue.GetAsync($"/batches/{batch}");
        open["pending"]!.GetValue<long>().ShouldBe(0);
        open["calledBack"]!.GetValue<bool>().ShouldBeFalse();
        (await queue.PostAsync($"/batches/{batch}/close", null))["calledBack"]!.GetValue<bool>().ShouldBeTrue();
        (await queue.LeaseAsync())[0]!["jobs"]![0]!.Text("type").ShouldBe("report");
        (await queue.PostAsync("/jobs", $$"""{"type":"t","batch":"{{batch}}"}""")).Text("outcome").ShouldBe("batchClosed");
    }

    [Fact]
    public async Task Wake_mark_misses_nothing_between_two_questions()
    {
        var queue = await server.QueueAsync();
        var seen = (await queue.GetAsync("/wake")).Text("seen");
        await queue.LeaseAsync("""{"max":1}""");
        await queue.EnqueueAsync();
        await Eventually.TrueAsync(async _ => (await queue.GetAsync($"/wake?after={seen}&waitMs=0")).Text("seen") != seen, CancellationToken);
        seen = (await queue.GetAsync("/wake")).Text("seen");
        var waiting = queue.GetAsync($"/wake?after={seen}&waitMs=30000");
        await queue.AdminAsync("/pause", "{}");
        (await waiting).Text("seen").ShouldNotBe(seen);
    }
}
