using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>Jobs in: once, in bulk, repeated, refused.</summary>
public sealed class EnqueueTests(JobsServer server) : IClassFixture<JobsServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Repeated_enqueue_with_one_key_adds_once_and_is_answered_the_same()
    {
        var queue = await server.QueueAsync();
        var first = await queue.PostAsync("/jobs", """{"type":"t"}""", null, ("Idempotency-Key", "k1"));
        for (var i = 0; i < 3; i++)
        {
            (await queue.PostAsync("/jobs", """{"type":"t"}""", null, ("Idempotency-Key", "k1"))).Text("id").ShouldBe(first.Text("id"));
        }

        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(1);
        (await queue.RefusedAsync("POST", "/jobs", """{"type":"other"}""", null, ("Idempotency-Key", "k1"))).Status.ShouldBe(422);
        (await queue.PostAsync("/jobs", """{"type":"t"}""", server.Owner, ("Idempotency-Key", "k1"))).Text("id").ShouldNotBe(first.Text("id"), "another principal's key is another key");
    }

    [Fact]
    public async Task Two_calls_with_one_key_at_one_time_add_one_job()
    {
        var queue = await server.QueueAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => queue.PostAsync("/jobs", """{"type":"t","track":true}""", null, ("Idempotency-Key", "same"))));
        answers.Select(answer => answer.Text("id")).Distinct().Count().ShouldBe(1);
        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(1);
    }

    [Fact]
    public async Task Producers_numbers_are_taken_once_and_in_their_order()
    {
        var queue = await server.QueueAsync();
        async Task<string> SendAsync(int number, string body = """{"type":"t"}""") =>
            (await queue.PostAsync("/jobs", body, null, ("Slipway-Producer", "host-1"), ("Slipway-Sequence", $"{number}"))).Text("id");
        var first = await SendAsync(1);
        (await SendAsync(1)).ShouldBe(first);
        await SendAsync(2);
        (await queue.RefusedAsync("POST", "/jobs", """{"type":"t"}""", null, ("Slipway-Producer", "host-1"), ("Slipway-Sequence", "1"))).Status.ShouldBe(422);
        (await queue.RefusedAsync("POST", "/jobs", """{"type":"t"}""", null, ("Slipway-Producer", "host-1"))).Status.ShouldBe(400);
        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(2);
    }

    [Fact]
    public async Task Bulk_takes_jobs_in_order_all_or_none()
    {
        var queue = await server.QueueAsync("""{"maxJobs":5}""");
        var answer = await queue.PostAsync("/jobs/bulk", """{"jobs":[{"type":"t","payload":1},{"type":"t","payload":2,"unique":"u"},{"type":"t","unique":"u"}]}""");
        answer["added"]!.GetValue<int>().ShouldBe(2);
        answer["jobs"]!.AsArray().Select(job => job!.Text("outcome")).ShouldBe(["added", "added", "duplicate"]);
        var (status, problem, response) = await queue.RefusedAsync("POST", "/jobs/bulk", """{"jobs":[{"type":"t"},{"type":"t"},{"type":"t"},{"type":"t"}]}""");
        status.ShouldBe(429);
        problem.Text("code").ShouldBe("queue_full");
        problem["hint"]!.GetValue<string>().ShouldNotBeEmpty();
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(2);
    }

    [Fact]
    public async Task Lines_are_taken_by_the_thousand_until_the_queue_is_full()
    {
        var queue = await server.QueueAsync("""{"maxJobs":2500}""");
        async Task<JsonObject> SendAsync(int count)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, queue.Url + "/jobs/bulk");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", server.Member);
            request.Content = new StringContent(string.Join("\n", Enumerable.Range(0, count).Select(i => $$"""{"type":"t","payload":{{i}}}""")), Encoding.UTF8, "application/x-ndjson");
            using var response = await server.Client.SendAsync(request, CancellationToken);
            return await response.ReadJsonAsync(CancellationToken);
        }

        (await SendAsync(1500))["jobs"]!.AsArray().Count.ShouldBe(1500);
        var partly = await SendAsync(2000);
        partly["added"]!.GetValue<int>().ShouldBe(1000);
        (await SendAsync(10_001)).Text("code").ShouldBe("too_large");
    }

    [Theory]
    [InlineData("""{"payload":1}""", "/type")]
    [InlineData("""{"type":"a b"}""", "/type")]
    [InlineData("""{"type":"t","priority":8}""", "/priority")]
    [InlineData("""{"type":"t","delayMs":-1}""", "/delayMs")]
    [InlineData("""{"type":"t","delayMs":1,"at":"2030-01-01T00:00:00Z"}""", "/at")]
    [InlineData("""{"type":"t","unique":""}""", "/unique")]
    [InlineData("""{"type":"t","uniqueForMs":5}""", "/uniqueForMs")]
    [InlineData("""{"type":"t","cost":256}""", "/cost")]
    [InlineData("""{"type":"t","maxAttempts":0}""", "/maxAttempts")]
    [InlineData("""{"type":"t","payload":1,"payloadBytes":"AA=="}""", "/payloadBytes")]
    [InlineData("""{"type":"t","payloadBytes":"%"}""", "/payloadBytes")]
    [InlineData("""{"type":"t","batch":"nope"}""", "/batch")]
    [InlineData("""{"type":"t","traceParent":"x"}""", "/traceParent")]
    [InlineData("""{"type":"t","surprise":1}""", "/surprise")]
    public async Task Bad_jobs_are_refused_with_the_field_that_is_wrong(string body, string pointer)
    {
        var queue = await server.QueueAsync("""{"maxBytes":1024}""");
        var (status, problem, _) = await queue.RefusedAsync("POST", "/jobs", body);
        status.ShouldBe(400);
        problem["errors"]!.AsArray().Select(error => error!.Text("pointer")).ShouldContain(pointer);
        (await queue.RefusedAsync("POST", "/jobs/bulk", $$"""{"jobs":[{"type":"t"},{{body}}]}""")).Problem["errors"]!.AsArray()
            .Select(error => error!.Text("pointer")).ShouldContain("/jobs/1" + pointer);
        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(0);
    }

    [Fact]
    public async Task Too_large_payload_is_refused_before_it_is_enqueued()
    {
        var queue = await server.QueueAsync();
        var (status, problem, _) = await queue.RefusedAsync("POST", "/jobs", $$"""{"type":"t","payload":"{{new string('x', 256 * 1024)}}"}""");
        status.ShouldBe(400);
        problem["errors"]![0]!.Text("pointer").ShouldBe("/payload");
        var refused = await queue.RefusedAsync("POST", "/jobs", $$"""{"type":"t","payload":"{{new string('x', 1024 * 1024)}}"}""");
        refused.Status.ShouldBe(413);
        refused.Response.Headers.ConnectionClose.ShouldBe(true, "the body was not read: the next request must not go over this connection");
    }

    [Fact]
    public async Task Durability_that_redis_does_not_give_is_refused()
    {
        var queue = await server.QueueAsync();
        (await queue.RefusedAsync("POST", "/jobs?durability=fsync", """{"type":"t"}""")).Status.ShouldBe(409);
        (await queue.RefusedAsync("POST", "/jobs?durability=hope", """{"type":"t"}""")).Status.ShouldBe(400);
        (await queue.PostAsync("/jobs?durability=memory", """{"type":"t"}""")).Text("outcome").ShouldBe("added");
    }

    [Fact]
    public async Task Urgent_jobs_go_first_and_delayed_ones_wait()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync("""{"type":"t","priority":7}""");
        await queue.EnqueueAsync("""{"type":"t","priority":0}""");
        await queue.EnqueueAsync("""{"type":"t","priority":0,"delayMs":3600000}""");
        var peeked = (await queue.GetAsync("/peek?count=5"))["jobs"]!.AsArray();
        peeked.Select(job => job!["priority"]!.GetValue<int>()).ShouldBe([0, 7]);
        (await queue.GetAsync("/peek?place=delayed"))["jobs"]!.AsArray().ShouldHaveSingleItem()!["due"].ShouldNotBeNull();
        (await queue.LeaseAsync("""{"max":1}"""))[0]!["jobs"]![0]!["priority"]!.GetValue<int>().ShouldBe(0);
    }
}
