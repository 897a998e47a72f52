using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>
/// One multiplexed connection to Redis or Valkey that repairs itself: any number of callers, commands pipelined in the order
/// of <see cref="SendAsync"/>, push messages on the same wire.
/// </summary>
/// <remarks>
/// <code>
///   callers ─► CommandQueue ─► RespLink (socket) ─► Redis
///      ▲            ▲                │
///      └── replies ─┴── read loop ◄──┘    pushes ─► Subscriptions
/// </code>
/// Batches form by themselves while the socket is busy; a lone command goes out at once. Blocking commands (BLPOP, …) must
/// not be sent here: they would block everybody; subscribe to a channel instead.
/// One owner (this), one loop (<see cref="RunAsync"/>), one way to stop (<see cref="DisposeAsync"/>).
/// </remarks>
public sealed partial class RespConnection : IRespClient
{
    /// <summary>
    /// A link that lived this long was healthy; the next fault starts again with the shortest pause. Half a second: a line that is cut each
    /// second then costs a twentieth of the time, not half of it, and a server that drops everybody at once is still asked less and less often.
    /// </summary>
    private static readonly TimeSpan HealthyAfter = TimeSpan.FromMilliseconds(500);

    /// <summary>How long the answers of a link that we give up may still come: a round trip over half the world and a slow command.</summary>
    private static readonly TimeSpan RetireGrace = TimeSpan.FromSeconds(1);

    /// <summary>First pause before a refused command is sent again; doubles up to <see cref="MaxRefusalPause"/>.</summary>
    private static readonly TimeSpan MinRefusalPause = TimeSpan.FromMilliseconds(10);

    /// <summary>A quarter of a second: a fortieth of the usual time that a command has.</summary>
    private static readonly TimeSpan MaxRefusalPause = TimeSpan.FromMilliseconds(250);

    private static readonly RespCommand Probe = RespCommand.Of("PING");

    private readonly RespOptions options;
    private readonly ILinkSource source;
    private readonly RespNode? node;
    private readonly ILogger logger;
    private readonly Subscriptions subscriptions;

    /// <summary>Cancelled by <see cref="DisposeAsync"/>: stop everything now.</summary>
    private readonly CancellationTokenSource closing = new();

    private readonly TaskCompletionSource firstLink = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task running = Task.CompletedTask;
    private long lastHeard;
    private long retireBy;
    private string? retireReason;
    private bool mayFailAtFirst;
    private bool disposed;

    private RespConnection(RespOptions options, ILinkSource source, RespNode? node, ILogger logger)
    {
        this.options = options;
        this.source = source;
        this.node = node;
        this.logger = logger;
        Queue = new CommandQueue(options, inCluster: node is not null);
        subscriptions = new Subscriptions(Queue, logger);
    }

    /// <inheritdoc/>
    public bool IsConnected { get; private set; }

    internal CommandQueue Queue { get; }

    /// <summary>Who the present or last link goes to; null before the first.</summary>
    internal RespEndpoint? Endpoint { get; private set; }

    /// <summary>
    /// Connects to one server, or to the master that Sentinel names, and shakes hands once; later cuts are repaired behind the
    /// scenes. For any URL: <see cref="RespClient.ConnectAsync"/>.
    /// </summary>
    /// <exception cref="FormatException">The URL is malformed, or of a cluster.</exception>
    /// <exception cref="RespConnectionException">The first attempt failed.</exception>
    public static async Task<RespConnection> ConnectAsync(RespOptions options, ILogger logger, CancellationToken cancellationToken)
    {
        RespUrl url = RespClient.ParseUrl(options);
        ILinkSource source = url.Topology switch
        {
            RespTopology.Single => new OneServer(url.Endpoints[0], url.Credentials, url.Database, options),
            RespTopology.Sentinel => new SentinelMaster(url, options, logger),
            _ => throw new FormatException("A cluster has many connections: use RespClient.ConnectAsync."),
        };
        var connection = new RespConnection(options, source, node: null, logger);
        connection.Start();
        try
        {
            await connection.firstLink.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Does not wait for the first link, and not even the first fault ends it.</summary>
    internal static RespConnection Start(RespOptions options, ILinkSource source, RespNode? node, ILogger logger)
    {
        var connection = new RespConnection(options, source, node, logger) { mayFailAtFirst = true };
        connection.Start();
        return connection;
    }

    /// <inheritdoc/>
    public ValueTask<RespValue> SendAsync(RespCommand command, CancellationToken cancellationToken)
    {
        if (RespClient.Unsendable(command, options, cancellationToken) is { } fault)
        {
            return fault;
        }

        var pending = new PendingReply(command, PendingKind.Caller);
        Queue.Add(pending);
        pending.CancelBy(cancellationToken);
        return pending.Task;
    }

    /// <inheritdoc/>
    public ValueTask<RespValue> EvaluateAsync(
        RespScript script,
        ReadOnlyMemory<RespArgument> keys,
        ReadOnlyMemory<RespArgument> arguments,
        bool idempotent,
        bool keepsReply,
        CancellationToken cancellationToken) =>
        SendAsync(RespCommand.Call(script, keys.Span, arguments.Span, idempotent, keepsReply), cancellationToken);

    /// <inheritdoc/>
    public Task<RespSubscription> SubscribeAsync(
        string channel, Action<ReadOnlyMemory<byte>> message, Action gap, CancellationToken cancellationToken) =>
        subscriptions.AddAsync(channel, message, gap, cancellationToken);

    /// <summary>Closes the connection. Commands without an answer fail with <see cref="RespConnectionFailure.Closed"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, true))
        {
            return;
        }

        await closing.CancelAsync().ConfigureAwait(false);
        await running.ConfigureAwait(false);
        await source.DisposeAsync().ConfigureAwait(false);
        closing.Dispose();
    }

    /// <summary>
    /// There may be a better server: sends nothing more, lets what was sent have its answers for a moment, then drops the link and
    /// asks the source for another. Nothing is in doubt unless the old server is silent.
    /// </summary>
    internal void Retire(string reason)
    {
        retireReason = reason;
        Interlocked.CompareExchange(ref retireBy, options.Time.GetTimestamp() + (long)(RetireGrace.TotalSeconds * options.Time.TimestampFrequency), 0);
        Queue.Retire();
    }

    private void Start()
    {
        source.Attach(this);
        running = Task.Run(RunAsync, CancellationToken.None);
    }

    private async Task RunAsync()
    {
        CancellationToken stopping = closing.Token;
        int faults = 0;
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                try
                {
                    RespLink link = await OpenWhileExpiringAsync(stopping).ConfigureAwait(false);
                    long openedAt = options.Time.GetTimestamp();
                    await using (link.ConfigureAwait(false))
                    {
                        await UseAsync(link, stopping).ConfigureAwait(false);
                    }

                    faults = options.Time.GetElapsedTime(openedAt) > HealthyAfter ? 0 : faults;
                }
                catch (RespConnectionException fault)
                {
                    if (!mayFailAtFirst && firstLink.TrySetException(fault))
                    {
                        return;
                    }

                    Log.ConnectFailed(logger, fault.Message);
                }

                node?.InTrouble();
                await PauseAsync(++faults, stopping).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
        finally
        {
            firstLink.TrySetException(new RespConnectionException(
                RespConnectionFailure.Closed, inDoubt: false, "The connection has been disposed."));
            Queue.Close(CommandQueue.Disposed);
        }
    }

    /// <summary>Uses a link until it breaks, then settles what was in flight.</summary>
    private async Task UseAsync(RespLink link, CancellationToken stopping)
    {
        bool first = !firstLink.Task.IsCompleted;
        Endpoint = link.Endpoint;
        Interlocked.Exchange(ref retireBy, 0);
        Queue.LinkOpened();
        subscriptions.AddAgain();
        IsConnected = true;
        firstLink.TrySetResult();
        if (!first)
        {
            Log.Reconnected(logger, link.Endpoint);
        }

        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Volatile.Write(ref lastHeard, options.Time.GetTimestamp());
        Task[] loops =
        [
            link.WriteAsync(Queue, ending.Token), ReadAsync(link, ending.Token), SettleAsync(ending.Token), WatchAsync(ending.Token),
        ];
        Task ended = await Task.WhenAny(loops).ConfigureAwait(false);
        IsConnected = false;
        await ending.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        Exception? cause = ended.Exception?.InnerException;
        (RespConnectionFailure reason, string message) = cause switch
        {
            _ when stopping.IsCancellationRequested => (RespConnectionFailure.Closed, CommandQueue.Disposed),
            RespProtocolException => (RespConnectionFailure.ProtocolViolation, cause.Message),
            TimeoutException => (RespConnectionFailure.TimedOut, cause.Message),
            null or IOException or SocketException => (RespConnectionFailure.Lost, cause?.Message ?? "the connection was cut."),
            _ => (RespConnectionFailure.Lost, $"unexpected {cause.GetType().Name}: {cause.Message}"),
        };
        Queue.LinkLost(reason, message, cause);
        if (!stopping.IsCancellationRequested)
        {
            Log.LinkLost(logger, link.Endpoint, reason, message);
        }
    }

    private async Task ReadAsync(RespLink link, CancellationToken ending)
    {
        while (true)
        {
            while (link.TryRead(out RespValue value))
            {
                if (value.Kind is RespKind.Push)
                {
                    subscriptions.Take(value);
                }
                else
                {
                    Queue.Answer(value);
                }
            }

            await link.ReceiveAsync(ending).ConfigureAwait(false);
            Volatile.Write(ref lastHeard, options.Time.GetTimestamp());
        }
    }

    /// <summary>Does what refusals ask for, once nothing is on the wire; then what was refused goes again.</summary>
    private async Task SettleAsync(CancellationToken ending)
    {
        while (true)
        {
            await Queue.WaitToSettleAsync(ending).ConfigureAwait(false);
            if (Queue.IsRetired)
            {
                throw new IOException(retireReason);
            }

            (Refusals kinds, int rounds) = Queue.Refused;
            if (kinds.HasFlag(Refusals.Demoted))
            {
                throw new IOException("the server is not the master any more.");
            }

            if (kinds.HasFlag(Refusals.Busy))
            {
                node?.InTrouble();
            }

            // Two redirections are usual (MOVED, then ASK); more mean that the nodes do not agree yet.
            if (kinds.HasFlag(Refusals.Busy) || (kinds.HasFlag(Refusals.Redirected) && rounds > 2))
            {
                await Task.Delay(Jittered(MinRefusalPause, MaxRefusalPause, rounds), options.Time, ending).ConfigureAwait(false);
            }

            if (kinds.HasFlag(Refusals.Redirected))
            {
                node!.Redirect();
            }

            Queue.SendRefusedAgain();
        }
    }

    /// <summary>Looks at the clock for all commands of the link: overdue answers and silent connections end it.</summary>
    private async Task WatchAsync(CancellationToken ending)
    {
        using var ticks = new PeriodicTimer(WatchInterval, options.Time);
        long probedAt = options.Time.GetTimestamp();
        long? busySince = null;
        while (await ticks.WaitForNextTickAsync(ending).ConfigureAwait(false))
        {
            if (Queue.Expire())
            {
                throw new TimeoutException($"no answer from Redis within {options.CommandTimeout}.");
            }

            if (Interlocked.Read(ref retireBy) is not 0 and var by && options.Time.GetTimestamp() > by)
            {
                throw new IOException(retireReason);
            }

            // Half-open: what is written is lost, and nobody says so. Found before the commands time out, so that they can go again.
            busySince = Queue.IsIdle ? null : busySince ?? options.Time.GetTimestamp();
            if (busySince is { } since && options.Time.GetElapsedTime(Math.Max(Volatile.Read(ref lastHeard), since)) > options.SilenceTimeout)
            {
                throw new TimeoutException($"nothing was heard for {options.SilenceTimeout}, although answers are due.");
            }

            long quietSince = Math.Max(Volatile.Read(ref lastHeard), probedAt);
            if (Queue.IsIdle && options.Time.GetElapsedTime(quietSince) > options.PingInterval)
            {
                probedAt = options.Time.GetTimestamp();
                // Its answer resets lastHeard; its absence is what Expire finds.
                Queue.AddOwn(Probe, PendingKind.Probe, first: true);
            }
        }
    }

    /// <summary>A tenth of the command timeout, so that a timeout is at most 10 % late.</summary>
    private TimeSpan WatchInterval => TimeSpan.FromMilliseconds(Math.Clamp(options.CommandTimeout.TotalMilliseconds / 10, 10, 500));

    /// <summary>Dials; meanwhile commands that wait for the link still time out on time.</summary>
    private async Task<RespLink> OpenWhileExpiringAsync(CancellationToken stopping)
    {
        Task<RespLink> opening = source.OpenAsync(stopping);
        try
        {
            await ExpireUntilAsync(opening, stopping).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Falls through: the dialling ends by the same token, and a link that just opened must be closed.
        }

        RespLink link = await opening.ConfigureAwait(false);
        if (stopping.IsCancellationRequested)
        {
            await link.DisposeAsync().ConfigureAwait(false);
            stopping.ThrowIfCancellationRequested();
        }

        return link;
    }

    private Task PauseAsync(int faults, CancellationToken stopping) => ExpireUntilAsync(
        Task.Delay(Jittered(options.MinReconnectDelay, options.MaxReconnectDelay, faults), options.Time, stopping), stopping);

    /// <summary>Doubles with each round. Jitter: after a restart of Redis not everybody comes in the same millisecond.</summary>
    internal static TimeSpan Jittered(TimeSpan shortest, TimeSpan longest, int round)
    {
        TimeSpan doubled = shortest * Math.Pow(2, Math.Min(round - 1, 20));
        return (doubled < longest ? doubled : longest) * (0.5 + (Random.Shared.NextDouble() / 2));
    }

    private async Task ExpireUntilAsync(Task end, CancellationToken stopping)
    {
        while (!end.IsCompleted)
        {
            await Task.WhenAny(end, Task.Delay(WatchInterval, options.Time, stopping)).ConfigureAwait(false);
            stopping.ThrowIfCancellationRequested();
            Queue.Expire();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Connected to {Endpoint} again")]
        public static partial void Reconnected(ILogger logger, RespEndpoint endpoint);

        [LoggerMessage(2, LogLevel.Warning, "Connection to {Endpoint} ended ({Reason}): {Message}")]
        public static partial void LinkLost(ILogger logger, RespEndpoint endpoint, RespConnectionFailure reason, string message);

        [LoggerMessage(3, LogLevel.Warning, "No connection to Redis: {Message}")]
        public static partial void ConnectFailed(ILogger logger, string message);
    }
}
