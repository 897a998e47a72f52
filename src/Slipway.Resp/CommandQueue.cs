namespace Slipway.Resp;

/// <summary>
/// The commands of one connection, in order, across reconnects:
/// <code>
///   Add ─► waiting ──TakeBatch──► sent ──Answer──► (caller)
///             ▲                     │
///             └── idempotent ── LinkLost ── others fail, in doubt
/// </code>
/// The only place that knows whether a command may have been executed.
/// </summary>
internal sealed class CommandQueue(RespOptions options)
{
    private readonly Lock gate = new();
    private readonly LinkedList<PendingReply> waiting = new();
    private readonly Queue<PendingReply> sent = new();
    private readonly SemaphoreSlim room = new(options.MaxInFlight);
    private readonly SemaphoreSlim work = new(0, 1);
    private bool closed;

    /// <summary>Waits for room (back-pressure), then puts the command in line.</summary>
    public async ValueTask<PendingReply> AddAsync(RespCommand command, CancellationToken cancellationToken)
    {
        if (command.Encoded.Length > options.MaxCommandBytes)
        {
            throw new ArgumentException($"{command.Name} has {command.Encoded.Length} bytes; the limit is {options.MaxCommandBytes}.", nameof(command));
        }

        long queuedAt = options.Time.GetTimestamp();
        await room.WaitAsync(cancellationToken).ConfigureAwait(false);
        var pending = new PendingReply(command, expectsPush: false, holdsRoom: true, queuedAt);
        Put(pending, first: false);
        return pending;
    }

    /// <summary>Our own commands: no room needed, so that a probe gets through when callers fill the connection.</summary>
    public PendingReply AddOwn(RespCommand command, bool expectsPush, bool first)
    {
        var pending = new PendingReply(command, expectsPush, holdsRoom: false, options.Time.GetTimestamp());
        Put(pending, first);
        return pending;
    }

    /// <summary>The caller no longer wants the answer. Unsent: the command is never sent. Sent: the answer is thrown away when it comes.</summary>
    public void Abandon(PendingReply pending, CancellationToken cancellationToken)
    {
        lock (gate)
        {
            if (pending.WaitingNode is { } node && !(pending.WasSent && pending.Command.KeepsReply))
            {
                waiting.Remove(node);
                pending.WaitingNode = null;
                pending.TrySetCanceled(cancellationToken);
                Leave(pending);
            }
            else if (!pending.Command.KeepsReply)
            {
                pending.TrySetCanceled(cancellationToken);
            }
        }
    }

    public Task WaitForWorkAsync(CancellationToken cancellationToken) => work.WaitAsync(cancellationToken);

    /// <summary>Moves commands of up to <paramref name="maxBytes"/> together (at least one) to "sent". From here on they are in doubt.</summary>
    public void TakeBatch(List<RespCommand> batch, int maxBytes)
    {
        batch.Clear();
        long now = options.Time.GetTimestamp();
        lock (gate)
        {
            int bytes = 0;
            while (waiting.First is { } node && (batch.Count == 0 || bytes + node.Value.Command.Encoded.Length <= maxBytes))
            {
                PendingReply pending = node.Value;
                waiting.RemoveFirst();
                pending.WaitingNode = null;
                pending.WasSent = true;
                pending.SentAt = now;
                sent.Enqueue(pending);
                batch.Add(pending.Command);
                bytes += pending.Command.Encoded.Length;
            }
        }
    }

    /// <summary>Hands an answer to the oldest sent command.</summary>
    /// <exception cref="RespProtocolException">Nobody asked, or the oldest waits for the other kind of answer.</exception>
    public void Answer(RespValue value)
    {
        PendingReply? pending;
        lock (gate)
        {
            bool fits = sent.TryDequeue(out pending)
                && (value.Kind is RespKind.Push ? pending.ExpectsPush : !pending.ExpectsPush || value.Kind is RespKind.Error);
            if (!fits)
            {
                // Put at least the right failure on the command that got the wrong answer: it is gone from "sent" now.
                pending?.TrySetException(new RespConnectionException(
                    RespConnectionFailure.ProtocolViolation, inDoubt: true, $"{pending.Command.Name} got an answer of another kind."));
                Leave(pending);
                throw new RespProtocolException("An answer came that nobody waits for.");
            }

            Leave(pending);
        }

        pending!.TrySetResult(value);
    }

    /// <summary>The link is gone: idempotent commands go back to the front in their order, all others fail in doubt.</summary>
    public void LinkLost(RespConnectionFailure reason, string message, Exception? cause)
    {
        lock (gate)
        {
            LinkedListNode<PendingReply>? last = null;
            while (sent.TryDequeue(out PendingReply? pending))
            {
                if (pending.Command.Idempotent && !pending.Task.IsCompleted && !closed)
                {
                    pending.WaitingNode = last is null ? waiting.AddFirst(pending) : waiting.AddAfter(last, pending);
                    last = pending.WaitingNode;
                    continue;
                }

                pending.TrySetException(new RespConnectionException(reason, inDoubt: true, $"{pending.Command.Name}: {message}", cause));
                Leave(pending);
            }
        }
    }

    /// <summary>Fails what has waited too long to be sent. True when the oldest sent command has waited too long: the link is dead.</summary>
    public bool Expire()
    {
        lock (gate)
        {
            // Only roughly in order of time (room is not handed out strictly first come, first served), which is good enough here.
            while (waiting.First is { } node && options.Time.GetElapsedTime(node.Value.QueuedAt) > options.CommandTimeout)
            {
                PendingReply pending = node.Value;
                waiting.RemoveFirst();
                pending.WaitingNode = null;
                pending.TrySetException(new RespConnectionException(
                    RespConnectionFailure.TimedOut, pending.WasSent, $"{pending.Command.Name}: no connection to Redis within {options.CommandTimeout}."));
                Leave(pending);
            }

            return sent.TryPeek(out PendingReply? oldest) && options.Time.GetElapsedTime(oldest.SentAt) > options.CommandTimeout;
        }
    }

    public bool IsIdle
    {
        get
        {
            lock (gate)
            {
                return waiting.Count == 0 && sent.Count == 0;
            }
        }
    }

    /// <summary>Fails everything and refuses more.</summary>
    public void Close(string message)
    {
        lock (gate)
        {
            closed = true;
            LinkLost(RespConnectionFailure.Closed, message, null);
            foreach (PendingReply pending in waiting)
            {
                pending.WaitingNode = null;
                pending.TrySetException(new RespConnectionException(
                    RespConnectionFailure.Closed, pending.WasSent, $"{pending.Command.Name}: {message}"));
                Leave(pending);
            }

            waiting.Clear();
        }
    }

    private void Put(PendingReply pending, bool first)
    {
        lock (gate)
        {
            if (closed)
            {
                Leave(pending);
                throw new RespConnectionException(
                    RespConnectionFailure.Closed, inDoubt: false, $"{pending.Command.Name}: the connection has been disposed.");
            }

            pending.WaitingNode = first ? waiting.AddFirst(pending) : waiting.AddLast(pending);
            if (work.CurrentCount == 0)
            {
                work.Release();
            }
        }
    }

    private void Leave(PendingReply? pending)
    {
        if (pending is { HoldsRoom: true })
        {
            room.Release();
        }
    }
}
