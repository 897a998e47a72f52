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
///      └── replies ─┴── read loop ◄──┘    pushes ─► RespSubscription
/// </code>
/// Batches form by themselves while the socket is busy; a lone command goes out at once. Blocking commands (BLPOP, …) must
/// not be sent here: they would block everybody; subscribe to a channel instead.
/// One owner (this), one loop (<see cref="RunAsync"/>), one way to stop (<see cref="DisposeAsync"/>).
/// </remarks>
public sealed partial class RespConnection : IRespClient
{
    /// <summary>A link that lived this long was healthy; the next fault starts again with the shortest pause.</summary>
    private static readonly TimeSpan HealthyAfter = TimeSpan.FromSeconds(5);

    private static readonly RespCommand Probe = RespCommand.Of("PING");

    private readonly RespOptions options;
    private readonly RespEndpoint endpoint;
    private readonly ILogger logger;
    private readonly CommandQueue queue;
    private readonly Lock subscriptionGate = new();
    private readonly List<RespSubscription> subscriptions = [];

    /// <summary>Cancelled by <see cref="DisposeAsync"/>: stop everything now.</summary>
    private readonly CancellationTokenSource closing = new();

    private readonly TaskCompletionSource firstLink = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task running = Task.CompletedTask;
    private long lastHeard;
    private bool disposed;

    private RespConnection(RespOptions options, RespEndpoint endpoint, ILogger logger)
    {
        this.options = options;
        this.endpoint = endpoint;
        this.logger = logger;
        queue = new CommandQueue(options);
    }

    /// <summary>True while a link is up. Only a snapshot: for health pages, not for decisions.</summary>
    public bool IsConnected { get; private set; }

    /// <summary>Connects and shakes hands once; later cuts are repaired behind the scenes.</summary>
    /// <exception cref="FormatException">The URL is malformed.</exception>
    /// <exception cref="RespConnectionException">The first attempt failed.</exception>
    public static async Task<RespConnection> ConnectAsync(RespOptions options, ILogger logger, CancellationToken cancellationToken)
    {
        var connection = new RespConnection(options, RespEndpoint.Parse(options.Url), logger);
        connection.running = Task.Run(connection.RunAsync, CancellationToken.None);
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

    /// <summary>Sends one command and waits for its answer. Waits for room first when too many are in flight.</summary>
    /// <exception cref="RespServerException">Redis answered with an error.</exception>
    /// <exception cref="RespConnectionException">No answer; <see cref="RespConnectionException.InDoubt"/> tells whether it may have been executed.</exception>
    public async ValueTask<RespValue> SendAsync(RespCommand command, CancellationToken cancellationToken)
    {
        PendingReply pending = await queue.AddAsync(command, cancellationToken).ConfigureAwait(false);
        RespValue answer;
        using (cancellationToken.UnsafeRegister(
            static (state, token) =>
            {
                var (queue, pending) = ((CommandQueue, PendingReply))state!;
                queue.Abandon(pending, token);
            },
            (queue, pending)))
        {
            answer = await pending.Task.ConfigureAwait(false);
        }

        return answer.Kind is RespKind.Error ? throw new RespServerException(command.Name, answer.AsString()) : answer;
    }

    /// <summary>Runs a script by its hash; loads it when the server does not know it (first use, restart, SCRIPT FLUSH, failover).</summary>
    /// <param name="idempotent">See <see cref="RespCommand.Idempotent"/>.</param>
    /// <param name="keepsReply">See <see cref="RespCommand.KeepsReply"/>.</param>
    public async ValueTask<RespValue> EvaluateAsync(
        RespScript script,
        ReadOnlyMemory<RespArgument> keys,
        ReadOnlyMemory<RespArgument> arguments,
        bool idempotent,
        bool keepsReply,
        CancellationToken cancellationToken)
    {
        RespCommand call = RespCommand.Of(["EVALSHA", script.Hash, keys.Length, .. keys.Span, .. arguments.Span]) with
        {
            Idempotent = idempotent,
            KeepsReply = keepsReply,
        };
        try
        {
            return await SendAsync(call, cancellationToken).ConfigureAwait(false);
        }
        catch (RespServerException unknown) when (unknown.Code is "NOSCRIPT")
        {
            // NOSCRIPT means: not executed. The text goes over the wire in a command of its own (never as EVAL), so that a
            // pipeline of calls costs one text, and a second flush in between only shows as one more NOSCRIPT, to the caller.
            await SendAsync(RespCommand.Of("SCRIPT", "LOAD", script.Text) with { Idempotent = true }, cancellationToken).ConfigureAwait(false);
            return await SendAsync(call, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Listens to a channel. Returns once the server has confirmed it.</summary>
    /// <param name="message">Called on the read loop for each message: must be quick and must not block.</param>
    /// <param name="gap">Called when the subscription stands again after a cut: messages may have been missed.</param>
    public async Task<RespSubscription> SubscribeAsync(
        string channel, Action<ReadOnlyMemory<byte>> message, Action gap, CancellationToken cancellationToken)
    {
        var subscription = new RespSubscription(channel, message, gap, UnsubscribeAsync);
        lock (subscriptionGate)
        {
            subscriptions.Add(subscription);
        }

        try
        {
            PendingReply confirmed = queue.AddOwn(
                RespCommand.Of("SUBSCRIBE", channel) with { Idempotent = true }, expectsPush: true, first: false);
            RespValue answer = await confirmed.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            return answer.Kind is RespKind.Error ? throw new RespServerException("SUBSCRIBE", answer.AsString()) : subscription;
        }
        catch
        {
            lock (subscriptionGate)
            {
                subscriptions.Remove(subscription);
            }

            throw;
        }
    }

    /// <summary>Closes the connection. Commands without an answer fail with <see cref="RespConnectionFailure.Closed"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, true))
        {
            return;
        }

        await closing.CancelAsync().ConfigureAwait(false);
        await running.ConfigureAwait(false);
        closing.Dispose();
    }

    private async ValueTask UnsubscribeAsync(RespSubscription subscription)
    {
        bool last;
        lock (subscriptionGate)
        {
            last = subscriptions.Remove(subscription) && !subscriptions.Exists(other => other.Channel == subscription.Channel);
        }

        if (last)
        {
            try
            {
                await queue.AddOwn(RespCommand.Of("UNSUBSCRIBE", subscription.Channel), expectsPush: true, first: false).Task.ConfigureAwait(false);
            }
            catch (RespConnectionException)
            {
                // No link, no subscription.
            }
        }
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
                    if (firstLink.TrySetException(fault))
                    {
                        return;
                    }

                    Log.ConnectFailed(logger, fault.Message);
                }

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
            queue.Close("the connection has been disposed.");
        }
    }

    /// <summary>Uses a link until it breaks, then settles what was in flight.</summary>
    private async Task UseAsync(RespLink link, CancellationToken stopping)
    {
        bool first = !firstLink.Task.IsCompleted;
        Resubscribe();
        IsConnected = true;
        firstLink.TrySetResult();
        if (!first)
        {
            Log.Reconnected(logger, endpoint.ToString());
        }

        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Volatile.Write(ref lastHeard, options.Time.GetTimestamp());
        Task[] loops = [link.WriteAsync(queue, ending.Token), ReadAsync(link, ending.Token), WatchAsync(ending.Token)];
        Task ended = await Task.WhenAny(loops).ConfigureAwait(false);
        IsConnected = false;
        await ending.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        Exception? cause = ended.Exception?.InnerException;
        (RespConnectionFailure reason, string message) = cause switch
        {
            _ when stopping.IsCancellationRequested => (RespConnectionFailure.Closed, "the connection has been disposed."),
            RespProtocolException => (RespConnectionFailure.ProtocolViolation, cause.Message),
            TimeoutException => (RespConnectionFailure.TimedOut, cause.Message),
            null or IOException or SocketException => (RespConnectionFailure.Lost, cause?.Message ?? "the connection was cut."),
            _ => (RespConnectionFailure.Lost, $"unexpected {cause.GetType().Name}: {cause.Message}"),
        };
        queue.LinkLost(reason, message, cause);
        if (!stopping.IsCancellationRequested)
        {
            Log.LinkLost(logger, endpoint.ToString(), reason, message);
        }
    }

    private async Task ReadAsync(RespLink link, CancellationToken ending)
    {
        while (true)
        {
            RespValue value = await link.ReadAsync(ending).ConfigureAwait(false);
            Volatile.Write(ref lastHeard, options.Time.GetTimestamp());
            if (value.Kind is not RespKind.Push)
            {
                queue.Answer(value);
                continue;
            }

            switch (value.Items)
            {
                case [var kind, var channel, var payload] when kind.ToString() is "message":
                    Deliver(channel.AsString(), payload.AsBytes());
                    break;
                case [var kind, _, _] when kind.ToString() is "subscribe" or "unsubscribe":
                    queue.Answer(value);
                    break;
                default:
                    // The specification: pushes that a client does not know are skipped.
                    break;
            }
        }
    }

    /// <summary>Looks at the clock for all commands of the link: overdue answers and silent connections end it.</summary>
    private async Task WatchAsync(CancellationToken ending)
    {
        using var ticks = new PeriodicTimer(WatchInterval, options.Time);
        long probedAt = options.Time.GetTimestamp();
        while (await ticks.WaitForNextTickAsync(ending).ConfigureAwait(false))
        {
            if (queue.Expire())
            {
                throw new TimeoutException($"no answer from Redis within {options.CommandTimeout}.");
            }

            long quietSince = Math.Max(Volatile.Read(ref lastHeard), probedAt);
            if (queue.IsIdle && options.Time.GetElapsedTime(quietSince) > options.PingInterval)
            {
                probedAt = options.Time.GetTimestamp();
                // Its answer resets lastHeard; its absence is what Expire finds.
                _ = queue.AddOwn(Probe, expectsPush: false, first: true).Task.ContinueWith(
                    static probe => _ = probe.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }
        }
    }

    /// <summary>A tenth of the command timeout, so that a timeout is at most 10 % late.</summary>
    private TimeSpan WatchInterval => TimeSpan.FromMilliseconds(Math.Clamp(options.CommandTimeout.TotalMilliseconds / 10, 10, 500));

    private void Resubscribe()
    {
        RespSubscription[] all;
        lock (subscriptionGate)
        {
            all = [.. subscriptions];
        }

        foreach (IGrouping<string, RespSubscription> channel in all.GroupBy(subscription => subscription.Channel))
        {
            PendingReply confirmed = queue.AddOwn(RespCommand.Of("SUBSCRIBE", channel.Key), expectsPush: true, first: true);
            _ = AnnounceGapAsync(confirmed.Task, [.. channel]);
        }
    }

    private async Task AnnounceGapAsync(Task<RespValue> confirmed, RespSubscription[] listeners)
    {
        await ((Task)confirmed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (RespSubscription listener in confirmed.IsCompletedSuccessfully ? listeners : [])
        {
            Guard(listener.Gap);
        }
    }

    private void Deliver(string channel, ReadOnlyMemory<byte> payload)
    {
        RespSubscription[] listeners;
        lock (subscriptionGate)
        {
            listeners = [.. subscriptions.Where(subscription => subscription.Channel == channel)];
        }

        foreach (RespSubscription listener in listeners)
        {
            Guard(() => listener.Message(payload));
        }
    }

    /// <summary>A listener's bug must not end the connection of everybody else.</summary>
    private void Guard(Action listener)
    {
        try
        {
            listener();
        }
        catch (Exception fault)
        {
            Log.ListenerFailed(logger, fault);
        }
    }

    /// <summary>Dials; meanwhile commands that wait for the link still time out on time.</summary>
    private async Task<RespLink> OpenWhileExpiringAsync(CancellationToken stopping)
    {
        Task<RespLink> opening = RespLink.OpenAsync(endpoint, options, stopping);
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

    private Task PauseAsync(int faults, CancellationToken stopping)
    {
        double longest = options.MaxReconnectDelay.TotalMilliseconds;
        double doubled = options.MinReconnectDelay.TotalMilliseconds * Math.Pow(2, Math.Min(faults - 1, 20));
        // Jitter: after a restart of Redis not everybody dials in the same millisecond.
        TimeSpan pause = TimeSpan.FromMilliseconds(Math.Min(doubled, longest) * (0.5 + (Random.Shared.NextDouble() / 2)));
        return ExpireUntilAsync(Task.Delay(pause, options.Time, stopping), stopping);
    }

    private async Task ExpireUntilAsync(Task end, CancellationToken stopping)
    {
        while (!end.IsCompleted)
        {
            await Task.WhenAny(end, Task.Delay(WatchInterval, options.Time, stopping)).ConfigureAwait(false);
            stopping.ThrowIfCancellationRequested();
            queue.Expire();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Connected to {Endpoint} again")]
        public static partial void Reconnected(ILogger logger, string endpoint);

        [LoggerMessage(2, LogLevel.Warning, "Connection to {Endpoint} ended ({Reason}): {Message}")]
        public static partial void LinkLost(ILogger logger, string endpoint, RespConnectionFailure reason, string message);

        [LoggerMessage(3, LogLevel.Warning, "No connection to Redis: {Message}")]
        public static partial void ConnectFailed(ILogger logger, string message);

        [LoggerMessage(4, LogLevel.Error, "A listener to a Redis channel failed")]
        public static partial void ListenerFailed(ILogger logger, Exception fault);
    }
}
