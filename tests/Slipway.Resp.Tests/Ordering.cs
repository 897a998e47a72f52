using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>The guarantee: idempotent commands that are sent again keep their order, and go before newer ones.</summary>
[Trait("speed", "slow")]
public sealed class Ordering
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Nothing_is_lost_or_overtaken_when_scripts_are_flushed_under_a_pipeline()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(server.Url);
        var producer = new SequencedProducer(client, "t");

        await producer.RunAsync(producer.DisturbAsync(server, 50, _ => server.AskAsync(Token, "SCRIPT", "FLUSH"), Token), Token);
    }

    [Fact]
    public async Task Nothing_is_lost_or_overtaken_when_connections_are_reset_under_a_pipeline()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(server.Url);
        var producer = new SequencedProducer(client, "t");

        await producer.RunAsync(
            producer.DisturbAsync(
                server,
                30,
                async round =>
                {
                    await server.AskAsync(Token, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
                    if (round % 3 == 0)
                    {
                        await server.AskAsync(Token, "SCRIPT", "FLUSH");
                    }
                },
                Token),
            Token);
    }

    [Fact]
    public async Task Nothing_is_lost_or_overtaken_when_the_server_is_killed_and_comes_back()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token, durable: true);
        await using IRespClient client = await ConnectAsync(server.Url);
        var producer = new SequencedProducer(client, "t");

        await producer.RunAsync(
            producer.DisturbAsync(
                server,
                3,
                async _ =>
                {
                    await server.KillAsync(Token);
                    await server.RestartAsync(Token);
                },
                Token),
            Token);
    }

    [Fact]
    public async Task Nothing_is_lost_or_overtaken_when_a_slot_moves_to_and_fro_under_a_pipeline()
    {
        await using RedisClusterFixture cluster = await RedisClusterFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(cluster.Url);
        var producer = new SequencedProducer(client, "t");
        (int slot, RedisFixture owner) = await cluster.OwnerOfAsync("t", Token);
        RedisFixture other = cluster.Masters.First(node => node != owner);

        await producer.RunAsync(MoveToAndFroAsync(), Token);

        async Task MoveToAndFroAsync()
        {
            for (int round = 0; round < 6; round++)
            {
                (RedisFixture from, RedisFixture to) = round % 2 == 0 ? (owner, other) : (other, owner);
                await producer.DisturbAsync(
                    from,
                    1,
                    async _ =>
                    {
                        await RedisClusterFixture.BeginMoveAsync(slot, from, to, Token);
                        // One of the two keys first: until the other follows, the script gets TRYAGAIN.
                        await from.AskAsync(Token, "MIGRATE", "127.0.0.1", $"{to.Port}", "", "0", "5000", "KEYS", producer.List);
                        await RedisClusterFixture.MoveKeysAsync(slot, from, to, Token);
                        await cluster.EndMoveAsync(slot, from, to, Token);
                    },
                    Token);
            }
        }
    }

    private static Task<IRespClient> ConnectAsync(string url) => RespClient.ConnectAsync(
        new RespOptions { Url = url, MaxReconnectDelay = TimeSpan.FromMilliseconds(100) }, NullLogger.Instance, Token);
}
