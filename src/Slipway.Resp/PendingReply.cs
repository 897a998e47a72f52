namespace Slipway.Resp;

/// <summary>
/// A command on its way: waiting to be written, or written and waiting for its answer. All state is guarded by the gate of
/// the <see cref="CommandQueue"/> that holds it.
/// </summary>
internal sealed class PendingReply(RespCommand command, bool expectsPush, bool holdsRoom, long queuedAt)
    : TaskCompletionSource<RespValue>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    public RespCommand Command => command;

    /// <summary>SUBSCRIBE and UNSUBSCRIBE are answered by a push (or an error), not by a reply.</summary>
    public bool ExpectsPush => expectsPush;

    /// <summary>Our own commands (probe, resubscribe) take no room from callers.</summary>
    public bool HoldsRoom => holdsRoom;

    public long QueuedAt => queuedAt;

    public long SentAt { get; set; }

    /// <summary>It was written at least once, so that it may have been executed.</summary>
    public bool WasSent { get; set; }

    public LinkedListNode<PendingReply>? WaitingNode { get; set; }
}
