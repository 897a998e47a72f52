using System.Text;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>What dashboards and Prometheus see.</summary>
public sealed class WatchTests(JobsServer server) : IClassFixture<JobsServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Live_stream_tells_numbers_and_rates()
    {
        var queue = await server.QueueAsync();
        await using var client = new LiveClient(server, queue);
        (await client.NextAsync())["stats"]!["readyTotal"]!.GetValue<long>().ShouldBe(0);
        await queue.EnqueueAsync();
        while (true)
        {
            var live = await client.NextAsync();
            if (live["stats"]!["readyTotal"]!.GetValue<long>() == 1)
            {
                live["perSecond"]!["enqueued"]!.GetValue<double>().ShouldBeGreaterThan(0);
                return;
            }
        }
    }

    [Fact]
    public async Task Live_stream_ends_with_the_right_to_see_it()
    {
        var queue = await server.QueueAsync();
        var key = await server.Client.JsonAsync("POST", "/v1/keys", server.Owner, AccessWorld.KeyBody("jobs:read:acme/*"), CancellationToken);
        await using var client = new LiveClient(server, queue, key.Text("secret"));
        await client.NextAsync();
        (await server.Client.CallAsync("DELETE", "/v1/keys/" + key["key"]!.Text("id"), server.Owner, null, CancellationToken)).EnsureSuccessStatusCode();
        (await client.RestAsync()).ShouldContain("access ended");
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task History_and_workers_tell_what_was_done_over_http()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        await queue.EnqueueAsync();
        var block = (await queue.LeaseAsync("""{"max":2,"worker":"w-7"}"""))[0]!.Text("id");
        await queue.AckAsync(block, """{"done":[0],"ended":[{"index":1,"kind":"dead","reason":"bad address"}]}""");
        await Eventually.PassesAsync(
            async _ =>
            {
                var history = await queue.GetAsync("/history?minutes=5");
                var minutes = history["minutes"]!.AsArray();
                minutes.Sum(minute => minute!["completed"]!.GetValue<long>()).ShouldBe(1);
                minutes.Sum(minute => minute!["failed"]!.GetValue<long>()).ShouldBe(1);
                minutes.ShouldAllBe(minute => minute!["type"]!.GetValue<string>() == "mail");
                history["errors"]![0]!.Text("reason").ShouldBe("bad address");
                (await queue.GetAsync("/workers"))["items"]!.AsArray().Select(worker => worker!.Text("name")).ShouldContain("w-7");
            },
            CancellationToken,
            TimeSpan.FromSeconds(40));
    }

    [Fact]
    public async Task Metrics_name_the_queues_of_the_allow_list_and_hash_the_others()
    {
        var named = await server.QueueAsync(name: "named");
        var other = await server.QueueAsync();
        // The counters start where the server began to look: at the first use.
        await named.StatsAsync();
        await Eventually.TrueAsync(async _ => (await MetricsAsync()).Contains("slipway_jobs_produced_total{queue=\"acme/named\"} 0", StringComparison.Ordinal), CancellationToken);
        await named.EnqueueAsync();
        await other.EnqueueAsync();
        await named.AckAsync((await named.LeaseAsync())[0]!.Text("id"));
        await Eventually.PassesAsync(
            async _ =>
            {
                var text = await MetricsAsync();
                text.ShouldContain("slipway_jobs_produced_total{queue=\"acme/named\"} 1\n");
                text.ShouldContain("slipway_jobs_completed_total{queue=\"acme/named\"} 1\n");
                text.ShouldContain("slipway_jobs_consumed_total{queue=\"acme/named\"} 1\n");
                text.ShouldContain("slipway_jobs_ready{queue=\"bucket-");
                text.ShouldNotContain($"acme/{other.Name}");
            },
            CancellationToken);
        Task<string> MetricsAsync() => server.Client.GetStringAsync("/metrics", CancellationToken);
    }

    private sealed class LiveClient(JobsServer server, TestQueue queue, string? token = null) : IAsyncDisposable
    {
        private HttpResponseMessage? response;
        private StreamReader? reader;

        public async Task<JsonNode> NextAsync()
        {
            if (reader is null)
            {
                response = await server.Client.CallAsync("GET", queue.Url + "/live", token ?? server.Owner, null, CancellationToken);
                response.EnsureSuccessStatusCode();
                reader = new StreamReader(await response.Content.ReadAsStreamAsync(CancellationToken), Encoding.UTF8);
            }

            while (await reader.ReadLineAsync(CancellationToken) is { } line)
            {
                if (line.StartsWith("data: ", StringComparison.Ordinal))
                {
                    return JsonNode.Parse(line[6..])!;
                }
            }

            throw new EndOfStreamException();
        }

        public Task<string> RestAsync() => reader!.ReadToEndAsync(CancellationToken);

        public ValueTask DisposeAsync()
        {
            reader?.Dispose();
            response?.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
