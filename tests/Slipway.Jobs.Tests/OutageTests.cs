using Shouldly;
using Slipway.Resp;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>What callers hear while Redis is full or away, and that the server works again after.</summary>
[Trait("speed", "slow")]
public sealed class OutageTests : IAsyncLifetime
{
    private readonly JobsServer server = new();

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => server.InitializeAsync();

    public ValueTask DisposeAsync() => server.DisposeAsync();

    [Fact]
    public async Task Full_redis_refuses_enqueues_and_still_lets_workers_empty_it()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        await ConfigureAsync("maxmemory", "1");
        var (status, problem, response) = await queue.RefusedAsync("POST", "/jobs", """{"type":"t"}""");
        status.ShouldBe(503);
        problem.Text("code").ShouldBe("unavailable");
        problem["retryable"]!.GetValue<bool>().ShouldBeTrue();
        response.Headers.RetryAfter.ShouldNotBeNull();
        (await queue.AckAsync((await queue.LeaseAsync())[0]!.Text("id"))).ShouldBe("acked");
        await ConfigureAsync("maxmemory", "0");
        await queue.EnqueueAsync();
    }

    [Fact]
    public async Task Redis_that_is_away_is_503_and_the_queue_works_when_it_is_back()
    {
        var queue = await server.QueueAsync();
        await queue.EnqueueAsync();
        await server.Running.Redis.KillAsync(CancellationToken);
        foreach (var (path, body) in ((string, string)[])[("/jobs", """{"type":"t"}"""), ("/lease", """{"max":1,"waitMs":1000}"""), ("/pause", "{}")])
        {
            var (status, _, response) = await queue.RefusedAsync("POST", path, body, server.Owner);
            status.ShouldBe(503, path);
            response.Headers.RetryAfter.ShouldNotBeNull(path);
        }

        await server.Running.Redis.RestartAsync(CancellationToken);
        // This Redis keeps nothing: the settings come from the database again, the jobs were said to be in memory only.
        await Eventually.TrueAsync(
            async _ =>
            {
                using var response = await server.Client.CallAsync("POST", queue.Url + "/jobs", server.Member, """{"type":"t"}""", CancellationToken);
                return response.IsSuccessStatusCode;
            },
            CancellationToken);
        (await queue.LeaseAsync("""{"waitMs":10000}""")).ShouldHaveSingleItem();
        (await server.Client.JsonAsync("GET", queue.Url, server.Owner, null, CancellationToken))["settings"]!["paused"]!.GetValue<bool>().ShouldBeFalse("a pause that failed must not be half done");
    }

    private async Task ConfigureAsync(string name, string value)
    {
        await using var redis = await RespConnection.ConnectAsync(new RespOptions { Url = server.Running.Redis.Url }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, CancellationToken);
        await redis.SendAsync(RespCommand.Of("CONFIG", "SET", name, value), CancellationToken);
    }
}
