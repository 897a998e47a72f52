using System.Text;
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

    [Fact]
    public async Task Keys_of_a_script_in_different_slots_are_refused_with_the_cure()
    {
        await using RedisClusterFixture cluster = await RedisClusterFixture.StartAsync(Token, masters: 1);
        await using IRespClient client = await ConnectAsync(cluster.Url);

        var fault = await Should.ThrowAsync<ArgumentException>(
            () => client.EvaluateAsync(Append, new RespArgument[] { "a", "b" }, new RespArgument[] { 1 }, false, false, Token).AsTask());

        fault.Message.ShouldContain("{tag}");
        (await client.EvaluateAsync(Append, new RespArgument[] { "{x}a", "{x}b" }, new RespArgument[] { 1 }, false, false, Token)).AsInteger().ShouldBe(1);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task A_killed_master_is_followed_to_its_replica_and_so_is_the_subscription()
    {
        await using RedisClusterFixture cluster = await RedisClusterFixture.StartAsync(Token, replicas: 1);
        await using IRespClient client = await ConnectAsync(cluster.Url);
        (_, RedisFixture owner) = await cluster.OwnerOfAsync("k", Token);
        await client.SendAsync(RespCommand.Of("SET", "k", "v"), Token);
        // WAIT is about what its own connection has written, and the client's is not ours to choose: the only other node with a key is the replica.
        await Eventually.TrueAsync(
            async token => (await Task.WhenAll(cluster.Nodes.Where(node => node != owner).Select(node => node.AskAsync(token, "DBSIZE")))).Contains("1"), Token);
        var heard = new HashSet<string>();
        var gap = new TaskCompletionSource();
        await client.SubscribeAsync("c", message => { lock (heard) { heard.Add(Encoding.UTF8.GetString(message.Span)); } }, () => gap.TrySetResult(), Token);
        await client.SendAsync(RespCommand.Of("PUBLISH", "c", "before"), Token);
        await Eventually.TrueAsync(() => Heard("before"), Token);

        await owner.KillAsync(Token);
        foreach (RedisFixture node in cluster.Nodes.Where(node => node != owner))
        {
            // Whichever node the subscription was at: it has to find another.
            await node.AskAsync(Token, "CLIENT", "KILL", "TYPE", "pubsub");
        }

        Task<RespValue>[] answers = [.. Enumerable.Range(0, 300).Select(
            i => client.SendAsync(RespCommand.Of("GETRANGE", i % 3 == 0 ? "k" : $"k{i}", 0, -1) with { Idempotent = true }, Token).AsTask())];
        (await Task.WhenAll(answers))[0].AsString().ShouldBe("v");

        await gap.Task.WaitAsync(Token);
        await client.SendAsync(RespCommand.Of("PUBLISH", "c", "after") with { Idempotent = true }, Token);
        await Eventually.TrueAsync(() => Heard("after"), Token);
        await Eventually.TrueAsync(() => ((RespCluster)client).Nodes.All(node => node.Address != $"127.0.0.1:{owner.Port}"), Token);

        bool Heard(string message)
        {
            lock (heard)
            {
                return heard.Contains(message);
            }
        }
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task A_cluster_that_lacks_a_node_says_so_at_the_timeout_and_heals_with_it()
    {
        await using RedisClusterFixture cluster = await RedisClusterFixture.StartAsync(Token);
        await using IRespClient client = await ConnectAsync(cluster.Url, TimeSpan.FromMilliseconds(500));
        (_, RedisFixture owner) = await cluster.OwnerOfAsync("k", Token);
        await client.SendAsync(RespCommand.Of("SET", "k", 1), Token);

        await owner.KillAsync(Token);
        RespException fault = await Should.ThrowAsync<RespException>(async () =>
        {
            await client.SendAsync(RespCommand.Of("INCR", "k"), Token);
            await client.SendAsync(RespCommand.Of("INCR", "k"), Token);
        });
        // The others notice in a second, and then refuse everything: not executed, tried again, told at the end.
        RedisFixture living = cluster.Masters.First(node => node != owner);
        await Eventually.TrueAsync(async token => (await living.AskAsync(token, "CLUSTER", "INFO")).Contains("cluster_state:fail", StringComparison.Ordinal), Token);
        string elsewhere = await KeyOfAsync(cluster, living);
        await Eventually.PassesAsync(
            async token => (await Should.ThrowAsync<RespServerException>(() => client.SendAsync(RespCommand.Of("SET", elsewhere, 1), token).AsTask()))
                .Code.ShouldBe("CLUSTERDOWN"),
            Token);
        await owner.RestartAsync(Token);

        fault.ShouldNotBeOfType<RespServerException>();
        await Eventually.PassesAsync(async token => await client.SendAsync(RespCommand.Of("SET", "k", 2), token), Token);
    }

    [Fact]
    public void Slots_are_those_of_the_specification()
    {
        // CRC-16/XMODEM has the check value 0x31C3; the rest from CLUSTER KEYSLOT.
        KeySlot.Of("123456789"u8).ShouldBe(0x31C3 % 16384);
        KeySlot.Of("{user1000}.following"u8).ShouldBe(KeySlot.Of("user1000"u8));
        KeySlot.Of("foo{}{bar}"u8).ShouldBe(8363);
        KeySlot.Of("foo{{bar}}zap"u8).ShouldBe(KeySlot.Of("{bar"u8));
        KeySlot.Of("foo{bar"u8).ShouldNotBe(KeySlot.Of("bar"u8));
    }

    [Theory]
    [InlineData("GET k", "k")]
    [InlineData("ping", null)]
    [InlineData("PUBLISH c m", null)]
    [InlineData("EVALSHA abc 1 k v", "k")]
    [InlineData("EVALSHA abc 0 v", null)]
    [InlineData("FCALL f 2 k l", "k")]
    [InlineData("XREADGROUP GROUP g c COUNT 1 STREAMS k >", "k")]
    [InlineData("OBJECT ENCODING k", "k")]
    [InlineData("ZUNION 2 k l", "k")]
    public void The_key_of_a_command_is_found(string command, string? key)
    {
        ReadOnlyMemory<byte>? found = CommandKeys.Of(RespCommand.Of([.. command.Split(' ').Select(word => (RespArgument)word)]));

        (found is { } bytes ? Encoding.UTF8.GetString(bytes.Span) : null).ShouldBe(key);
    }

    private static async Task<string> KeyOfAsync(RedisClusterFixture cluster, RedisFixture node)
    {
        for (int i = 0; ; i++)
        {
            if ((await cluster.OwnerOfAsync($"x{i}", Token)).Owner == node)
            {
                return $"x{i}";
            }
        }
    }

    private static Task<IRespClient> ConnectAsync(string url, TimeSpan? timeout = null) =>
        RespClient.ConnectAsync(new RespOptions { Url = url, CommandTimeout = timeout ?? TimeSpan.FromSeconds(10) }, NullLogger.Instance, Token);
}
