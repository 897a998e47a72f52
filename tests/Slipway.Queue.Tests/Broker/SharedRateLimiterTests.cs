using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Broker;

public sealed class SharedRateLimiterTests(RedisFleet fleet)
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Callers_of_several_processes_get_moments_at_equal_distance_after_the_burst()
    {
        await using IRespClient one = await ConnectAsync(), other = await ConnectAsync();
        string name = Guid.NewGuid().ToString("N");
        var time = new ManualTimeProvider();
        SharedRateLimiter a = new(one, name, 10, 3, time), b = new(other, name, 10, 3, time);

        Task<bool>[] waits = [.. Enumerable.Range(0, 8).Select(i => (i % 2 == 0 ? a : b).WaitAsync(1, TimeSpan.FromMinutes(1), Token).AsTask())];

        // By their reservations, not by this machine's speed: what goes at once is the burst; the others sleep.
        await Eventually.TrueAsync(_ => Task.FromResult(waits.Count(wait => wait.IsCompletedSuccessfully) >= 3 && time.TimerCount == waits.Count(wait => !wait.IsCompleted)), Token);
        waits.Count(wait => !wait.IsCompleted).ShouldBeInRange(3, 5);
        time.Advance(TimeSpan.FromMilliseconds(600));
        (await Task.WhenAll(waits)).ShouldAllBe(turn => turn);
    }

    [Fact]
    public async Task Cost_takes_its_share_and_who_cannot_wait_so_long_reserves_nothing()
    {
        await using IRespClient redis = await ConnectAsync();
        var limiter = new SharedRateLimiter(redis, Guid.NewGuid().ToString("N"), 1, 1, TimeProvider.System);

        (await limiter.WaitAsync(30, TimeSpan.Zero, Token)).ShouldBeTrue();
        (await limiter.WaitAsync(1, TimeSpan.FromSeconds(20), Token)).ShouldBeFalse();
        (await limiter.WaitAsync(1, TimeSpan.FromSeconds(20), Token)).ShouldBeFalse();
    }

    private async Task<IRespClient> ConnectAsync() =>
        await RespClient.ConnectAsync(new RespOptions { Url = await fleet.UrlOfAsync(RedisKind.Single) }, NullLogger.Instance, Token);
}
