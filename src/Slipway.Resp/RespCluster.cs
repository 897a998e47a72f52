using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>
/// A Redis or Valkey cluster as one client: each command goes to the master that has its key's slot.
/// <code>
///   callers ─► slot ─► RespNode ─► RespConnection (one per master, when first needed)
///                ▲        │
///                │        └─ MOVED, ASK: its line waits, drains, and is dealt out anew, in order
///                └─ ClusterMap ◄─ CLUSTER SLOTS of any node: at first, after faults and MOVED, twice a minute
/// </code>
/// </summary>
/// <remarks>
/// Order. Commands of one slot keep the order in which they were sent, also over MOVED, ASK and a failover, in the sense of
/// <see cref="RespCommand.Idempotent"/>: before a slot changes hands here, its old node's line is stopped and everything on the
/// wire has its answer. Between slots there is no order.
/// </remarks>
public sealed partial class RespCluster : IRespClient
{
    private readonly RespOptions options;
    private readonly ILogger logger;
    private readonly ClusterMap map;
    private readonly Lock subscriberGate = new();
    private readonly CancellationTokenSource closing = new();
    private readonly Wakeup refresh = new();
    private RespEndpoint? hint;
    private RespConnection? subscriber;
    private Task running = Task.CompletedTask;
    private volatile bool mapped;
    private bool disposed;

    private RespCluster(RespUrl url, RespOptions options, ILogger logger)
    {
        this.options = options;
        this.logger = logger;
        map = new ClusterMap(url, options, endpoint => new RespNode(this, endpoint, url.Credentials, options, logger));
    }

    /// <summary>True while any node is connected; before the first command: since the nodes are known.</summary>
    public bool IsConnected => mapped && map.Nodes is var nodes && (nodes.Any(node => node.IsConnected) || nodes.All(node => node.Opened is null));

    /// <summary>The masters by now, for administration. Changes with the cluster: don't keep it.</summary>
    public IReadOnlyList<RespNode> Nodes => map.Nodes;

    /// <summary>Asks the nodes of the URL, one after another, for the others. Connections to them are made when first needed.</summary>
    /// <exception cref="FormatException">The URL is malformed, or not of a cluster.</exception>
    /// <exception cref="RespConnectionException">No node could tell.</exception>
    public static async Task<RespCluster> ConnectAsync(RespOptions options, ILogger logger, CancellationToken cancellationToken)
    {
        RespUrl url = RespClient.ParseUrl(options);
        if (url.Topology is not RespTopology.Cluster)
        {
            throw new FormatException("A cluster URL is written redis+cluster://host1:6379,host2:6379.");
        }

        var cluster = new RespCluster(url, options, logger);
        try
        {
            await cluster.map.RefreshAsync(null, cancellationToken).ConfigureAwait(false);
            cluster.mapped = true;
            cluster.running = Task.Run(cluster.RunAsync, CancellationToken.None);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public ValueTask<RespValue> SendAsync(RespCommand command, CancellationToken cancellationToken) =>
        SendAsync(command, CommandKeys.Of(command) is { } key ? KeySlot.Of(key.Span) : -1, cancellationToken);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The keys do not share a slot: give them one {tag}.</exception>
    public ValueTask<RespValue> EvaluateAsync(
        RespScript script,
        ReadOnlyMemory<RespArgument> keys,
        ReadOnlyMemory<RespArgument> arguments,
        bool idempotent,
        bool keepsReply,
        CancellationToken cancellationToken)
    {
        int slot = -1;
        foreach (ref readonly RespArgument key in keys.Span)
        {
            int one = key.Slot();
            if (slot >= 0 && one != slot)
            {
                return ValueTask.FromException<RespValue>(new ArgumentException(
                    $"The keys of {script.Name} are in different slots of the cluster ({keys.Span[0]} in {slot}, {key} in {one}): give them the same {{tag}}.",
                    nameof(keys)));
            }

            slot = one;
        }

        return SendAsync(RespCommand.Call(script, keys.Span, arguments.Span, idempotent, keepsReply), slot, cancellationToken);
    }

    /// <inheritdoc/>
    /// <remarks>Any node will do, because a cluster passes each PUBLISH on to all; when that node dies, another takes over and <paramref name="gap"/> is called.</remarks>
    public Task<RespSubscription> SubscribeAsync(
        string channel, Action<ReadOnlyMemory<byte>> message, Action gap, CancellationToken cancellationToken)
    {
        RespConnection connection;
        lock (subscriberGate)
        {
            if (disposed)
            {
                return Task.FromException<RespSubscription>(Closed("SUBSCRIBE"));
            }

            connection = subscriber ??= RespConnection.Start(options, map.AnyNode, node: null, logger);
        }

        return connection.SubscribeAsync(channel, message, gap, cancellationToken);
    }

    /// <summary>Closes all connections. Commands without an answer fail with <see cref="RespConnectionFailure.Closed"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        RespConnection? listening;
        lock (subscriberGate)
        {
            if (disposed)
            {
                return;
            }

            disposed = true;
            listening = subscriber;
        }

        await closing.CancelAsync().ConfigureAwait(false);
        await running.ConfigureAwait(false);
        await map.CloseAsync().ConfigureAwait(false);
        if (listening is not null)
        {
            await listening.DisposeAsync().ConfigureAwait(false);
        }

        closing.Dispose();
    }

    /// <param name="asked">Who knows best; null: anybody.</param>
    internal void RequestRefresh(RespEndpoint? asked)
    {
        if (asked is not null)
        {
            Volatile.Write(ref hint, asked);
        }

        refresh.Set();
    }

    internal void Redirect(RespNode from)
    {
        if (map.Redirect(from) is { } knows)
        {
            RequestRefresh(knows);
        }
    }

    private ValueTask<RespValue> SendAsync(RespCommand command, int slot, CancellationToken cancellationToken)
    {
        if (RespClient.Unsendable(command, options, cancellationToken) is { } fault)
        {
            return fault;
        }

        var pending = new PendingReply(command, PendingKind.Caller) { Slot = slot };
        if (!map.TryAdd(pending))
        {
            return ValueTask.FromException<RespValue>(Closed(command.Name));
        }

        pending.CancelBy(cancellationToken);
        return pending.Task;
    }

    private async Task RunAsync()
    {
        CancellationToken stopping = closing.Token;
        // Even without a fault: replicas come and go, and a node that lost its slots without our traffic is let go.
        using ITimer often = options.Time.CreateTimer(
            static state => ((RespCluster)state!).refresh.Set(), this, TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(30));
        int rounds = 0;
        try
        {
            while (true)
            {
                await refresh.WaitAsync(stopping).ConfigureAwait(false);
                try
                {
                    await map.RefreshAsync(Interlocked.Exchange(ref hint, null), stopping).ConfigureAwait(false);
                    mapped = true;
                }
                catch (RespConnectionException fault)
                {
                    mapped = false;
                    Log.NoMap(logger, fault.Message);
                }

                FollowNodes();
                rounds = mapped && map.IsWell ? 0 : rounds + 1;
                // 100 ms: the beat of the cluster's own gossip; news are not made faster.
                await Task.Delay(
                    RespConnection.Jittered(TimeSpan.FromMilliseconds(100), options.MaxReconnectDelay, Math.Max(1, rounds)), options.Time, stopping)
                    .ConfigureAwait(false);
                if (rounds > 0)
                {
                    refresh.Set();
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    /// <summary>A node that left the cluster hears nothing any more, but keeps the subscriber's link.</summary>
    private void FollowNodes()
    {
        RespConnection? listening;
        lock (subscriberGate)
        {
            listening = subscriber;
        }

        if (listening is { IsConnected: true, Endpoint: { } endpoint } && !map.Knows(endpoint))
        {
            listening.Retire($"{endpoint} has left the cluster.");
        }
    }

    private static RespConnectionException Closed(string command) =>
        new(RespConnectionFailure.Closed, inDoubt: false, $"{command}: {CommandQueue.Disposed}");

    private static partial class Log
    {
        [LoggerMessage(7, LogLevel.Warning, "No node of the Redis cluster tells its slots: {Message}")]
        public static partial void NoMap(ILogger logger, string message);
    }
}
