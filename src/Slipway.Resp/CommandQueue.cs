namespace Slipway.Resp;

/// <summary>
/// The commands of one connection, in order, across reconnects:
/// <code>
///            (no room)
///   Add ─► lobby ─► waiting ──TakeBatch──► sent ──Answer──► (caller)
///                    ▲   ▲                  │ │
///                    │   └── idempotent ── LinkLost ── others fail, in doubt
///                    └─SendRefusedAgain─ refused ◄─┘ "not executed, ask again"
/// </code>
/// The only place that knows whether a command may have been executed.
/// </summary>
/// <remarks>
/// Order. While anything is refused, nothing more is sent; once all that was sent has its answer, what was refused goes again,
/// in its order, before everything newer. After a lost link likewise: refused, then sent and idempotent, then newer. So
/// commands that are sent again keep their order and come before newer ones. (What no client of a pipeline can prevent: a
/// command behind a refused one, already on the wire, that the server takes because its state has changed in between.)
/// </remarks>
internal sealed class CommandQueue(RespOptions options, bool inCluster)
{
    /// <summary>Rounds of SCRIPT LOAD and EVALSHA. One is usual; more need a SCRIPT FLUSH between the two; always: LOAD is forbidden.</summary>
    private const int MaxScriptRounds = 5;

    /// <summary>With the pauses between them more than two seconds: nodes of a cluster agree within a few gossip rounds of 100 ms.</summary>
    private const int MaxRedirections = 16;

    public const string Disposed = "the connection has been disposed.";

    private static readonly RespCommand Asking = RespCommand.Of("ASKING");

    private readonly Lock gate = new();
    private readonly PendingList lobby = new();
    private readonly PendingList waiting = new();
    private readonly PendingList sent = new();
    private readonly PendingList refused = new();
    private readonly Wakeup work = new();
    private readonly Wakeup settle = new();
    private Refusals refusals;
    private int held;
    private bool retiring;
    private int inside;
    private long insideBytes;
    private bool closed;
    private string? loadRefusal;
    private TaskCompletionSource? drained;

    /// <summary>Puts a caller's command in line, or in the lobby when there is no room (back-pressure: its caller waits).</summary>
    public void Add(PendingReply pending)
    {
        lock (gate)
        {
            pending.Queue = this;
            pending.QueuedAt = options.Time.GetTimestamp();
            if (closed)
            {
                pending.TrySetException(Closed(pending, Disposed));
                return;
            }

            if (lobby.Count > 0 || !HasRoom)
            {
                lobby.AddLast(pending);
                return;
            }

            Enter(pending);
        }

        work.Set();
    }

    /// <summary>A caller's command that another node had before: it has waited long enough and needs no room.</summary>
    public void AddMoved(PendingReply pending)
    {
        lock (gate)
        {
            if (pending.IsCompleted)
            {
                return;
            }

            if (closed)
            {
                pending.TrySetException(Closed(pending, "the node has left the cluster."));
                return;
            }

            pending.Queue = this;
            Enter(pending);
        }

        work.Set();
    }

    /// <summary>Our own commands: no room needed, so that a probe gets through when callers fill the connection.</summary>
    public PendingReply AddOwn(RespCommand command, PendingKind kind, bool first)
    {
        var pending = new PendingReply(command, kind) { Queue = this, QueuedAt = options.Time.GetTimestamp() };
        lock (gate)
        {
            if (closed)
            {
                pending.TrySetException(Closed(pending, Disposed));
            }
            else if (first)
            {
                waiting.AddFirst(pending);
            }
            else
            {
                waiting.AddLast(pending);
            }
        }

        work.Set();
        return pending;
    }

    /// <summary>The caller no longer wants the answer. Unsent: the command is never sent. Sent: the answer is thrown away when it comes.</summary>
    public static void Abandon(PendingReply pending)
    {
        while (pending.Queue is { } queue)
        {
            lock (queue.gate)
            {
                if (pending.Queue == queue)
                {
                    queue.AbandonHere(pending);
                    return;
                }
            }
        }
    }

    public ValueTask WaitForWorkAsync(CancellationToken cancellationToken) => work.WaitAsync(cancellationToken);

    /// <summary>Until something is refused, or the link shall be given up, and nothing is on the wire any more.</summary>
    public ValueTask WaitToSettleAsync(CancellationToken cancellationToken) => settle.WaitAsync(cancellationToken);

    /// <summary>Moves commands of up to <paramref name="maxBytes"/> together (at least one) to "sent".</summary>
    public void TakeBatch(List<RespCommand> batch, int maxBytes)
    {
        batch.Clear();
        long now = options.Time.GetTimestamp();
        lock (gate)
        {
            if (held > 0 || retiring || refused.Count > 0)
            {
                return;
            }

            int bytes = 0;
            while (waiting.First is { } pending && (batch.Count == 0 || bytes + pending.Command.Size <= maxBytes))
            {
                waiting.Remove(pending);
                if (pending.IsCompleted)
                {
                    // Cancelled while it moved between two queues.
                    Leave(pending);
                    continue;
                }

                if (pending.Asking)
                {
                    // The two are neighbours on the wire: nothing else can get between them in a batch.
                    sent.AddLast(new PendingReply(Asking, PendingKind.Asking) { Queue = this, SentAt = now });
                    batch.Add(Asking);
                }

                pending.SentAt = now;
                sent.AddLast(pending);
                batch.Add(pending.Command);
                bytes += pending.Command.Size;
            }
        }
    }

    /// <summary>Hands an answer to the oldest sent command.</summary>
    /// <exception cref="RespProtocolException">Nobody asked, or the oldest waits for the other kind of answer.</exception>
    public void Answer(in RespValue value)
    {
        PendingReply? pending;
        lock (gate)
        {
            pending = sent.TakeFirst();
            bool wantsPush = pending?.Kind is PendingKind.Subscription;
            if (pending is null || (value.Kind is RespKind.Push ? !wantsPush : wantsPush && value.Kind is not RespKind.Error))
            {
                // Put at least the right failure on the command that got the wrong answer: it is gone from "sent" now.
                pending?.TrySetException(new RespConnectionException(
                    RespConnectionFailure.ProtocolViolation, inDoubt: true, $"{pending.Command.Name} got an answer of another kind."));
                Leave(pending);
                throw new RespProtocolException("An answer came that nobody waits for.");
            }

            if (value.Kind is RespKind.Error && TryRefuse(pending, value))
            {
                pending = null;
            }
            else
            {
                if (pending.Kind is PendingKind.ScriptLoad)
                {
                    loadRefusal = value.Kind is RespKind.Error ? value.AsString() : null;
                }

                Leave(pending);
            }

            SignalWhenDrained();
        }

        pending?.TrySetResult(value);
    }

    /// <summary>Everything that was sent is answered and something was refused: what the refusals ask for, and how often the oldest was refused.</summary>
    public (Refusals Kinds, int Rounds) Refused
    {
        get
        {
            lock (gate)
            {
                return (refused.Count == 0 ? Refusals.None : refusals, refused.First?.Refusals ?? 0);
            }
        }
    }

    /// <summary>Nothing more goes to this link; <see cref="WaitToSettleAsync"/> ends once everything sent has its answer.</summary>
    public void Retire()
    {
        lock (gate)
        {
            retiring = true;
            SignalWhenDrained();
        }
    }

    /// <summary>The link shall be given up, and nothing is on the wire any more.</summary>
    public bool IsRetired
    {
        get
        {
            lock (gate)
            {
                return retiring && sent.Count == 0;
            }
        }
    }

    /// <summary>A new link: what was wrong with the old one is over.</summary>
    public void LinkOpened()
    {
        lock (gate)
        {
            retiring = false;
        }
    }

    /// <summary>Puts what was refused back to the front of the line, behind the scripts that it needs.</summary>
    public void SendRefusedAgain()
    {
        lock (gate)
        {
            HashSet<RespScript>? scripts = null;
            while (refused.TakeLast() is { } pending)
            {
                waiting.AddFirst(pending);
                if (pending.Command.Script is { } script && pending.Refusal!.StartsWith("NOSCRIPT", StringComparison.Ordinal))
                {
                    (scripts ??= []).Add(script);
                }
            }

            refusals = Refusals.None;
            foreach (RespScript script in scripts ?? [])
            {
                // The text goes over the wire once, in a command of its own (never as EVAL), for any number of calls.
                waiting.AddFirst(new PendingReply(script.Load, PendingKind.ScriptLoad) { Queue = this, QueuedAt = options.Time.GetTimestamp() });
            }
        }

        work.Set();
    }

    /// <summary>The link is gone: refused and idempotent commands go back to the front in their order, all others fail in doubt.</summary>
    public void LinkLost(RespConnectionFailure reason, string message, Exception? cause)
    {
        lock (gate)
        {
            while (sent.TakeLast() is { } pending)
            {
                if (pending.Command.Idempotent && !pending.IsCompleted && !closed)
                {
                    pending.InDoubt = true;
                    waiting.AddFirst(pending);
                    continue;
                }

                pending.TrySetException(new RespConnectionException(reason, inDoubt: true, $"{pending.Command.Name}: {message}", cause));
                Leave(pending);
            }

            while (refused.TakeLast() is { } pending)
            {
                waiting.AddFirst(pending);
            }

            refusals = Refusals.None;
            SignalWhenDrained();
        }
    }

    /// <summary>Fails what has waited too long. True when the oldest sent command has waited too long: the link is dead.</summary>
    public bool Expire()
    {
        lock (gate)
        {
            Expire(refused);
            Expire(waiting);
            Expire(lobby);
            return sent.First is { } oldest && options.Time.GetElapsedTime(oldest.SentAt) > options.CommandTimeout;
        }
    }

    public bool IsIdle
    {
        get
        {
            lock (gate)
            {
                return waiting.Count == 0 && sent.Count == 0 && refused.Count == 0;
            }
        }
    }

    /// <summary>Sends nothing more until <see cref="Release"/>; the task ends when everything sent has its answer (or its link is lost).</summary>
    public Task HoldAsync()
    {
        lock (gate)
        {
            held++;
            if (sent.Count == 0)
            {
                return Task.CompletedTask;
            }

            drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return drained.Task;
        }
    }

    public void Release()
    {
        lock (gate)
        {
            held--;
        }

        work.Set();
    }

    /// <summary>Looks at what was refused, in order.</summary>
    public void ForEachRefused(Action<PendingReply> look)
    {
        lock (gate)
        {
            for (PendingReply? pending = refused.First; pending is not null; pending = pending.Next)
            {
                look(pending);
            }
        }
    }

    /// <summary>Takes out every unsent command for which <paramref name="leaves"/> says so, in order, for another queue.</summary>
    public List<PendingReply> TakeOut(Predicate<PendingReply> leaves)
    {
        List<PendingReply> taken = [];
        lock (gate)
        {
            foreach (PendingList list in (ReadOnlySpan<PendingList>)[refused, waiting, lobby])
            {
                for (PendingReply? pending = list.First; pending is not null;)
                {
                    PendingReply? next = pending.Next;
                    if (pending is { Kind: PendingKind.Caller, Pinned: false } && leaves(pending))
                    {
                        list.Remove(pending);
                        if (list != lobby)
                        {
                            CountOut(pending);
                        }

                        taken.Add(pending);
                    }

                    pending = next;
                }
            }

            Admit();
        }

        return taken;
    }

    /// <summary>Fails everything and refuses more.</summary>
    public void Close(string message)
    {
        lock (gate)
        {
            closed = true;
            LinkLost(RespConnectionFailure.Closed, message, null);
            foreach (PendingList list in (ReadOnlySpan<PendingList>)[waiting, lobby])
            {
                while (list.TakeFirst() is { } pending)
                {
                    pending.TrySetException(Closed(pending, message));
                }
            }
        }
    }

    /// <summary>Room is what callers' commands may take together, waiting or sent. One may overshoot, so that a large one needs not wait for an empty line.</summary>
    private bool HasRoom => inside < options.MaxInFlight && insideBytes < options.MaxInFlightBytes;

    private void Enter(PendingReply pending)
    {
        inside++;
        insideBytes += pending.Command.Size;
        waiting.AddLast(pending);
    }

    private void CountOut(PendingReply pending)
    {
        inside--;
        insideBytes -= pending.Command.Size;
    }

    private void Leave(PendingReply? pending)
    {
        if (pending is { Kind: PendingKind.Caller })
        {
            CountOut(pending);
            Admit();
        }
    }

    private void Admit()
    {
        bool admitted = false;
        while (!closed && lobby.First is { } next && HasRoom)
        {
            lobby.Remove(next);
            Enter(next);
            admitted = true;
        }

        if (admitted)
        {
            work.Set();
        }
    }

    private bool TryRefuse(PendingReply pending, in RespValue answer)
    {
        if (closed || pending.IsCompleted || pending.Kind is PendingKind.Probe or PendingKind.Asking)
        {
            return false;
        }

        string error = answer.AsString();
        Refusals asks = Refusal.Of(pending, error, inCluster);
        if (asks is Refusals.None
            || (asks is Refusals.Script && pending.ScriptRounds++ >= MaxScriptRounds)
            || (asks is Refusals.Redirected && pending.Redirections++ >= MaxRedirections))
        {
            return false;
        }

        if (asks is Refusals.Script && pending.ScriptRounds > 1 && loadRefusal is not null)
        {
            pending.TrySetException(new RespServerException("SCRIPT LOAD", loadRefusal));
            return false;
        }

        pending.Refusal = error;
        pending.Refusals++;
        if (pending.CancellationToken.IsCancellationRequested)
        {
            // It kept its reply while it was on the wire; now it is certain that there is nothing to keep.
            pending.TrySetCanceled();
            return false;
        }

        refusals |= asks;
        refused.AddLast(pending);
        return true;
    }

    private void SignalWhenDrained()
    {
        if (sent.Count > 0)
        {
            return;
        }

        drained?.TrySetResult();
        drained = null;
        if (refused.Count > 0 || retiring)
        {
            settle.Set();
        }
    }

    private void AbandonHere(PendingReply pending)
    {
        bool onTheWire = pending.List == sent;
        if (pending.Command.KeepsReply && (onTheWire || pending.InDoubt))
        {
            return;
        }

        pending.TrySetCanceled();
        if (!onTheWire && pending.List is { } list)
        {
            list.Remove(pending);
            if (list != lobby)
            {
                Leave(pending);
            }
        }
    }

    private void Expire(PendingList list)
    {
        for (PendingReply? pending = list.First; pending is not null;)
        {
            PendingReply? next = pending.Next;
            if (options.Time.GetElapsedTime(pending.QueuedAt) > options.CommandTimeout)
            {
                list.Remove(pending);
                pending.TrySetException(Expired(pending, list == lobby));
                if (list != lobby)
                {
                    Leave(pending);
                }
            }

            pending = next;
        }
    }

    private RespException Expired(PendingReply pending, bool inLobby) => pending switch
    {
        { Refusal: { } refusal, InDoubt: false } => new RespServerException(pending.Command.Name, refusal),
        { Refusal: { } refusal } => TimedOut(pending, $"not taken within {options.CommandTimeout}: {refusal}"),
        _ when inLobby => TimedOut(pending, $"no room among {options.MaxInFlight} commands and {options.MaxInFlightBytes} bytes within {options.CommandTimeout}."),
        _ => TimedOut(pending, $"no connection to Redis within {options.CommandTimeout}."),
    };

    private static RespConnectionException TimedOut(PendingReply pending, string message) =>
        new(RespConnectionFailure.TimedOut, pending.InDoubt, $"{pending.Command.Name}: {message}");

    private static RespConnectionException Closed(PendingReply pending, string message) =>
        new(RespConnectionFailure.Closed, pending.InDoubt, $"{pending.Command.Name}: {message}");
}
