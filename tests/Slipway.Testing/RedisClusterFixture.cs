using System.Globalization;

namespace Slipway.Testing;

/// <summary>
/// A private Redis cluster of one test on loopback ports (about a second to start): masters with a third of the slots each, and
/// replicas that take over a killed master within about two seconds.
/// </summary>
public sealed class RedisClusterFixture : IAsyncDisposable
{
    private const int Slots = 16384;

    /// <summary>After this silence a node counts as failed. Shorter, and a busy machine fails over on its own.</summary>
    private const int NodeTimeoutMilliseconds = 1000;

    private readonly List<RedisFixture> masters = [];
    private readonly List<RedisFixture> replicas = [];

    private RedisClusterFixture()
    {
    }

    /// <summary><c>redis+cluster://127.0.0.1:…,127.0.0.1:…</c></summary>
    public string Url => "redis+cluster://" + string.Join(',', Nodes.Select(node => $"127.0.0.1:{node.Port}"));

    /// <summary>In the order of their slots, at the start.</summary>
    public IReadOnlyList<RedisFixture> Masters => masters;

    /// <summary>One after another for master 0, 1, …, at the start.</summary>
    public IReadOnlyList<RedisFixture> Replicas => replicas;

    public IEnumerable<RedisFixture> Nodes => masters.Concat(replicas);

    /// <param name="replicas">For each master.</param>
    public static async Task<RedisClusterFixture> StartAsync(CancellationToken cancellationToken, int masters = 3, int replicas = 0)
    {
        var cluster = new RedisClusterFixture();
        try
        {
            var started = await Task.WhenAll(Enumerable.Range(0, masters * (1 + replicas)).Select(_ => StartNodeAsync(cancellationToken)));
            cluster.masters.AddRange(started[..masters].Select(node => node.Server));
            cluster.replicas.AddRange(started[masters..].Select(node => node.Server));
            await cluster.JoinAsync(started, cancellationToken);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>The slot of a key, and the master that had it at the start.</summary>
    public async Task<(int Slot, RedisFixture Owner)> OwnerOfAsync(string key, CancellationToken cancellationToken)
    {
        // Any node can compute it; the last one is the least likely to have been killed.
        var slot = int.Parse(await Nodes.Last().AskAsync(cancellationToken, "CLUSTER", "KEYSLOT", key), CultureInfo.InvariantCulture);
        return (slot, masters[Enumerable.Range(0, masters.Count).Last(i => i * Slots / masters.Count <= slot)]);
    }

    /// <summary>Opens a slot for migration: from now on, what <paramref name="from"/> lacks is asked of <paramref name="to"/> (ASK).</summary>
    public static async Task BeginMoveAsync(int slot, RedisFixture from, RedisFixture to, CancellationToken cancellationToken)
    {
        await OkAsync(to, cancellationToken, "CLUSTER", "SETSLOT", Text(slot), "IMPORTING", await IdOfAsync(from, cancellationToken));
        await OkAsync(from, cancellationToken, "CLUSTER", "SETSLOT", Text(slot), "MIGRATING", await IdOfAsync(to, cancellationToken));
    }

    /// <summary>Moves the keys of an open slot.</summary>
    public static async Task MoveKeysAsync(int slot, RedisFixture from, RedisFixture to, CancellationToken cancellationToken)
    {
        while (await from.AskAsync(cancellationToken, "CLUSTER", "GETKEYSINSLOT", Text(slot), "100") is { Length: > 0 } keys)
        {
            await from.AskAsync(cancellationToken, ["MIGRATE", "127.0.0.1", Text(to.Port), "", "0", "5000", "KEYS", .. keys.Split('\n')]);
        }
    }

    /// <summary>
    /// Closes it: <paramref name="to"/> owns the slot now, and <paramref name="from"/> says MOVED. Returns when all nodes agree on that and on
    /// its epoch: a slot that moves on before gossip has told everybody can end with two nodes that send clients to each other for ever.
    /// </summary>
    public async Task EndMoveAsync(int slot, RedisFixture from, RedisFixture to, CancellationToken cancellationToken)
    {
        var owner = await IdOfAsync(to, cancellationToken);
        foreach (var node in (RedisFixture[])[to, from, .. masters.Where(node => node != to && node != from)])
        {
            await OkAsync(node, cancellationToken, "CLUSTER", "SETSLOT", Text(slot), "NODE", owner);
        }

        await Eventually.TrueAsync(
            async token => (await Task.WhenAll(masters.Select(node => ViewAsync(node, token)))).Distinct(StringComparer.Ordinal).Count() == 1, cancellationToken);
    }

    /// <summary>Who has which slots by which epoch, as one node sees it.</summary>
    private static async Task<string> ViewAsync(RedisFixture node, CancellationToken cancellationToken)
    {
        // id address flags master ping pong epoch link slots…; of the node itself also open slots, in brackets.
        var lines = (await node.AskAsync(cancellationToken, "CLUSTER", "NODES")).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' '));
        return string.Join('\n', lines.Select(words => string.Join(' ', (string[])[words[0], words[6], .. words[8..]])).Order(StringComparer.Ordinal));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in Nodes)
        {
            await node.DisposeAsync();
        }
    }

    private static async Task<(RedisFixture Server, int BusPort)> StartNodeAsync(CancellationToken cancellationToken)
    {
        // The usual bus port, 10000 above, may not exist.
        var bus = RedisFixture.FreePort();
        var server = await RedisFixture.StartAsync(
            cancellationToken, tcp: true, durable: false, password: null,
            "--cluster-enabled", "yes", "--cluster-port", Text(bus), "--cluster-node-timeout", Text(NodeTimeoutMilliseconds),
            "--cluster-replica-validity-factor", "0", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1");
        return (server, bus);
    }

    private async Task JoinAsync((RedisFixture Server, int BusPort)[] nodes, CancellationToken cancellationToken)
    {
        for (var i = 0; i < nodes.Length; i++)
        {
            var node = nodes[i].Server;
            await OkAsync(node, cancellationToken, "CLUSTER", "SET-CONFIG-EPOCH", Text(i + 1));
            if (i < masters.Count)
            {
                var (first, next) = ((i * Slots) / masters.Count, ((i + 1) * Slots) / masters.Count);
                await OkAsync(node, cancellationToken, "CLUSTER", "ADDSLOTSRANGE", Text(first), Text(next - 1));
            }

            // Everybody meets everybody: gossip would get there too, a second later.
            foreach (var (other, bus) in nodes[..i])
            {
                await OkAsync(node, cancellationToken, "CLUSTER", "MEET", "127.0.0.1", Text(other.Port), Text(bus));
            }
        }

        foreach (var (node, _) in nodes)
        {
            await Eventually.TrueAsync(
                async token => await node.AskAsync(token, "CLUSTER", "INFO") is var info
                    && info.Contains("cluster_state:ok", StringComparison.Ordinal) && info.Contains($"cluster_known_nodes:{nodes.Length}\r", StringComparison.Ordinal)
                    && !(await node.AskAsync(token, "CLUSTER", "NODES")).Contains("handshake", StringComparison.Ordinal),
                cancellationToken);
        }

        for (var i = 0; i < replicas.Count; i++)
        {
            var replica = replicas[i];
            await OkAsync(replica, cancellationToken, "CLUSTER", "REPLICATE", await IdOfAsync(masters[i % masters.Count], cancellationToken));
            await Eventually.TrueAsync(
                async token => (await replica.AskAsync(token, "INFO", "replication")).Contains("master_link_status:up", StringComparison.Ordinal), cancellationToken);
        }

        // A master asks only replicas that it knows as such whether they may take over.
        foreach (var (node, _) in nodes)
        {
            await Eventually.TrueAsync(
                async token => (await node.AskAsync(token, "CLUSTER", "NODES")).Split('\n').Count(line => line.Contains("slave", StringComparison.Ordinal)) == replicas.Count,
                cancellationToken);
        }
    }

    private static Task<string> IdOfAsync(RedisFixture node, CancellationToken cancellationToken) => node.AskAsync(cancellationToken, "CLUSTER", "MYID");

    private static async Task OkAsync(RedisFixture node, CancellationToken cancellationToken, params IReadOnlyList<string> words)
    {
        var answer = await node.AskAsync(cancellationToken, words);
        if (answer != "OK")
        {
            throw new InvalidOperationException($"{string.Join(' ', words)}: {answer}");
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
