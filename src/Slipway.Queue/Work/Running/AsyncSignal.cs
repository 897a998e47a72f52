using System.Threading.Tasks.Sources;

namespace Slipway.Queue.Work;

/// <summary>Wakes one waiting loop. Raised while nobody waits, it lets the next wait pass; raised often, it passes once.</summary>
internal sealed class AsyncSignal : IValueTaskSource
{
    private const int Idle = 0;
    private const int Raised = 1;
    private const int Waiting = 2;

    // Continuations must not run on whoever raises the signal: a read loop, or a handler's thread.
    private ManualResetValueTaskSourceCore<bool> core = new() { RunContinuationsAsynchronously = true };
    private int state;

    /// <summary>The second waiter at a time is a bug of the caller.</summary>
    public ValueTask WaitAsync()
    {
        if (Interlocked.CompareExchange(ref state, Idle, Raised) == Raised)
        {
            return ValueTask.CompletedTask;
        }

        core.Reset();
        var wait = new ValueTask(this, core.Version);
        switch (Interlocked.CompareExchange(ref state, Waiting, Idle))
        {
            case Idle:
                return wait;
            case Raised:
                Volatile.Write(ref state, Idle);
                return ValueTask.CompletedTask;
            default:
                throw new InvalidOperationException("One loop waits for one signal.");
        }
    }

    public void Raise()
    {
        if (Volatile.Read(ref state) != Raised && Interlocked.Exchange(ref state, Raised) == Waiting)
        {
            Volatile.Write(ref state, Idle);
            core.SetResult(true);
        }
    }

    void IValueTaskSource.GetResult(short token) => core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        core.OnCompleted(continuation, state, token, flags);
}
