using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>The client behind a real sentinel.</summary>
[Trait("speed", "slow")]
public sealed class FailingOver
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_killed_master_is_followed_in_the_middle_of_a_pipeline()
    {
        await using RedisSentinelFixture redis = await RedisSentinelFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(redis.Url);
        await client.SendAsync(RespCommand.Of("SET", "k", "before"), Token);
        // On the client's own connection: WAIT is about what its connection has written.
        (await client.SendAsync(RespCommand.Of("WAIT", 1, 10_000), Token)).AsInteger().ShouldBe(1);
        var gap = new TaskCompletionSource();
        await client.SubscribeAsync("c", _ => { }, () => gap.TrySetResult(), Token);

        await redis.First.KillAsync(Token);
        Task<RespValue>[] answers = [.. Enumerable.Range(0, 200).Select(
            i => client.SendAsync(RespCommand.Of("SET", $"k{i}", i) with { Idempotent = true }, Token).AsTask())];
        await Task.WhenAll(answers);

        (await redis.MasterAsync(Token)).ShouldBe(redis.Second);
        (await redis.Second.AskAsync(Token, "GET", "k199")).ShouldBe("199");
        (await client.SendAsync(RespCommand.Of("GET", "k"), Token)).AsString().ShouldBe("before");
        await gap.Task.WaitAsync(Token);
    }

    [Fact]
    public async Task An_orderly_failover_loses_no_command_that_was_never_in_doubt()
    {
        await using RedisSentinelFixture redis = await RedisSentinelFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(redis.Url);
        using var enough = new CancellationTokenSource();
        // Not idempotent, and yet: what a demoted master refuses was not executed, so it is sent again.
        Task<int> writing = Task.Run(async () =>
        {
            int sent = 0;
            while (!enough.IsCancellationRequested)
            {
                try
                {
                    await Task.WhenAll(Enumerable.Range(0, 20).Select(i => client.SendAsync(RespCommand.Of("INCR", "n"), Token).AsTask()));
                }
                catch (RespConnectionException cut) when (cut.InDoubt)
                {
                    // CLIENT KILL, which Sentinel sends to the clients of a master that it demotes.
                }

                sent++;
            }

            return sent;
        });

        await redis.FailOverAsync(Token);
        await Eventually.TrueAsync(
            async token => (await client.SendAsync(RespCommand.Of("ROLE"), token)).Items[0].AsString() == "master"
                && (await client.SendAsync(RespCommand.Of("INFO", "server"), token)).AsString().Contains($"tcp_port:{redis.Second.Port}", StringComparison.Ordinal),
            Token);
        await enough.CancelAsync();

        (await writing).ShouldBeGreaterThan(0);
        await client.SendAsync(RespCommand.Of("SET", "after", 1), Token);
        (await redis.Second.AskAsync(Token, "GET", "after")).ShouldBe("1");
    }

    [Fact]
    public async Task A_frozen_master_is_left_as_soon_as_the_sentinel_has_another()
    {
        await using RedisSentinelFixture redis = await RedisSentinelFixture.StartAsync(Token);
        // No probe and no timeout would end this wait: only the sentinel's word does.
        await using IRespClient client = await RespClient.ConnectAsync(
            new RespOptions { Url = redis.Url, CommandTimeout = TimeSpan.FromMinutes(1), PingInterval = TimeSpan.FromMinutes(1), ConnectTimeout = TimeSpan.FromSeconds(2) },
            NullLogger.Instance,
            Token);

        redis.First.Freeze();
        RespValue answer = await client.SendAsync(RespCommand.Of("SET", "k", "v") with { Idempotent = true }, Token).AsTask().WaitAsync(TimeSpan.FromSeconds(20), Token);

        answer.AsString().ShouldBe("OK");
        (await redis.Second.AskAsync(Token, "GET", "k")).ShouldBe("v");
    }

    [Fact]
    public async Task An_unknown_master_is_told_at_the_first_connect()
    {
        await using RedisSentinelFixture redis = await RedisSentinelFixture.StartAsync(Token);

        var fault = await Should.ThrowAsync<RespConnectionException>(() => ConnectAsync(redis.Url.Replace("mymaster", "yours", StringComparison.Ordinal)));

        fault.Reason.ShouldBe(RespConnectionFailure.ConnectFailed);
        fault.Message.ShouldContain("yours");
    }

    private static Task<IRespClient> ConnectAsync(string url) =>
        RespClient.ConnectAsync(new RespOptions { Url = url }, NullLogger.Instance, Token);
}
