using System.Threading.Tasks.Sources;

namespace Slipway.Resp;

/// <summary>Who waits for a reply, which decides what its absence or refusal means.</summary>
internal enum PendingKind
{
    /// <summary>A caller of <c>SendAsync</c>; takes room.</summary>
    Caller,

    /// <summary>Our SUBSCRIBE or UNSUBSCRIBE: answered by a push, or by an error.</summary>
    Subscription,

    /// <summary>Our SCRIPT LOAD, in front of the calls that need it.</summary>
    ScriptLoad,

    /// <summary>Our PING: any answer is a sign of life.</summary>
    Probe,

    /// <summary>Our ASKING, right in front of the command it speaks for.</summary>
    Asking,
}

/// <summary>
/// A command on its way: waiting to be written, or written and waiting for its answer; at the same time the awaitable behind
/// the caller's <see cref="ValueTask{TResult}"/>, so that a command costs one object. All state is guarded by the gate of the
/// <see cref="CommandQueue"/> that holds it, apart from the completion itself.
/// </summary>
internal sealed class PendingReply : IValueTaskSource<RespValue>
{
    private ManualResetValueTaskSourceCore<RespValue> completion;
    private CancellationTokenRegistration cancellation;
    private int completed;

    public PendingReply(RespCommand command, PendingKind kind)
    {
        Command = command;
        Kind = kind;
        // A caller's code must never run on the read loop: it could wait for the very answer that comes next.
        completion.RunContinuationsAsynchronously = true;
    }

    public RespCommand Command { get; }

    public PendingKind Kind { get; }

    /// <summary>When the caller asked: <see cref="RespOptions.CommandTimeout"/> counts from here, whatever happens in between.</summary>
    public long QueuedAt { get; set; }

    public long SentAt { get; set; }

    /// <summary>It was on a link that broke, so that it may have been executed.</summary>
    public bool InDoubt { get; set; }

    /// <summary>The server's last words when it would not take the command; null when it never refused.</summary>
    public string? Refusal { get; set; }

    /// <summary>How often it was refused, for whatever reason.</summary>
    public int Refusals { get; set; }

    public int ScriptRounds { get; set; }

    public int Redirections { get; set; }

    /// <summary>The next node must be asked with ASKING: it is about to get the slot, but does not own it yet.</summary>
    public bool Asking { get; set; }

    /// <summary>The node that ASK named, until it is in that node's line.</summary>
    public RespNode? AskedTo { get; set; }

    /// <summary>Meant for one node of a cluster and never moved to another.</summary>
    public bool Pinned { get; init; }

    /// <summary>Slot of the cluster; -1: no key, any node will do.</summary>
    public int Slot { get; init; } = -1;

    /// <summary>The queue that holds it; changes when a cluster moves the slot.</summary>
    public CommandQueue? Queue { get; set; }

    /// <summary>The list of that queue that it stands in, or null.</summary>
    public PendingList? List { get; set; }

    public PendingReply? Next { get; set; }

    public PendingReply? Previous { get; set; }

    public CancellationToken CancellationToken { get; private set; }

    public bool IsCompleted => Volatile.Read(ref completed) != 0;

    public ValueTask<RespValue> Task => new(this, completion.Version);

    /// <summary>After it was queued: a token that is already cancelled calls back at once.</summary>
    public void CancelBy(CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
        {
            CancellationToken = cancellationToken;
            cancellation = cancellationToken.UnsafeRegister(static state => CommandQueue.Abandon((PendingReply)state!), this);
        }
    }

    public void TrySetResult(in RespValue value)
    {
        if (Interlocked.Exchange(ref completed, 1) == 0)
        {
            completion.SetResult(value);
        }
    }

    public void TrySetException(Exception exception)
    {
        if (Interlocked.Exchange(ref completed, 1) == 0)
        {
            completion.SetException(exception);
        }
    }

    public void TrySetCanceled() => TrySetException(new OperationCanceledException(CancellationToken));

    RespValue IValueTaskSource<RespValue>.GetResult(short token)
    {
        cancellation.Unregister();
        RespValue value = completion.GetResult(token);
        // Made here and not on the read loop: an exception costs more than everything else about a reply.
        return value.Kind is RespKind.Error ? throw new RespServerException(Command.Name, value.AsString()) : value;
    }

    ValueTaskSourceStatus IValueTaskSource<RespValue>.GetStatus(short token) => completion.GetStatus(token);

    void IValueTaskSource<RespValue>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        completion.OnCompleted(continuation, state, token, flags);
}

/// <summary>A doubly linked list through the replies themselves: removal anywhere without search, and no nodes to allocate.</summary>
internal sealed class PendingList
{
    public PendingReply? First { get; private set; }

    public PendingReply? Last { get; private set; }

    public int Count { get; private set; }

    public void AddLast(PendingReply pending)
    {
        pending.List = this;
        pending.Previous = Last;
        pending.Next = null;
        if (Last is null)
        {
            First = pending;
        }
        else
        {
            Last.Next = pending;
        }

        Last = pending;
        Count++;
    }

    public void AddFirst(PendingReply pending)
    {
        pending.List = this;
        pending.Previous = null;
        pending.Next = First;
        if (First is null)
        {
            Last = pending;
        }
        else
        {
            First.Previous = pending;
        }

        First = pending;
        Count++;
    }

    public void Remove(PendingReply pending)
    {
        if (pending.Previous is { } previous)
        {
            previous.Next = pending.Next;
        }
        else
        {
            First = pending.Next;
        }

        if (pending.Next is { } next)
        {
            next.Previous = pending.Previous;
        }
        else
        {
            Last = pending.Previous;
        }

        pending.List = null;
        pending.Next = pending.Previous = null;
        Count--;
    }

    public PendingReply? TakeFirst()
    {
        PendingReply? first = First;
        if (first is not null)
        {
            Remove(first);
        }

        return first;
    }

    public PendingReply? TakeLast()
    {
        PendingReply? last = Last;
        if (last is not null)
        {
            Remove(last);
        }

        return last;
    }
}
