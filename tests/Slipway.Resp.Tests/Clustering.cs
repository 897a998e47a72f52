using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>The client against a real cluster.</summary>
public sealed class Clustering
{
    private static readonly RespScript Append = new("append", "return redis.call('RPUSH', KEYS[1], ARGV[1])");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Commands_and_scripts_go_to_the_node_of_their_key()
    {
        await using RedisClusterFixture cluster = await RedisClusterFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(cluster.Url);
        await Task.WhenAll(Enumerable.Range(0, 300).Select(async i =>
        {
            await client.SendAsync(RespCommand.Of("SET", $"k{i}", i), Token);
            await client.EvaluateAsync(Append, new RespArgument[] { $"list{i}" }, new RespArgument[] { i }, false, false, Token);
        }));

        long[] values = await Task.WhenAll(Enumerable.Range(0, 300).Select(
            async i => (await client.SendAsync(RespCommand.Of("GET", $"k{i}"), Token)).AsInteger()));

        values.ShouldBe(Enumerable.Range(0, 300).Select(i => (long)i));
        (await client.SendAsync(RespCommand.Of("PING"), Token)).AsString().ShouldBe("PONG");
        var sizes = await Task.WhenAll(((RespCluster)client).Nodes.Select(async node => (await node.SendAsync(RespCommand.Of("DBSIZE"), Token)).AsInteger()));
        sizes.Length.ShouldBe(3);
        sizes.Sum().ShouldBe(600);
        sizes.ShouldAllBe(size => size > 100);
    }

    private static Task<IRespClient> ConnectAsync(string url) =>
        RespClient.ConnectAsync(new RespOptions { Url = url }, NullLogger.Instance, Token);
}
