using System.Threading.Tasks.Sources;

namespace Slipway.Resp;

/// <summary>
/// Wakes the one loop that waits for it; a signal while nobody waits is kept, many are one. Allocates nothing, which matters
/// because the write loop of a lone caller waits once per command.
/// </summary>
internal sealed class Wakeup : IValueTaskSource
{
    private readonly Lock gate = new();
    private ManualResetValueTaskSourceCore<bool> completion = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration cancellation;
    private bool signalled;
    private bool waiting;

    public void Set()
    {
        lock (gate)
        {
            if (!waiting)
            {
                signalled = true;
                return;
            }

            waiting = false;
        }

        completion.SetResult(true);
    }

    /// <summary>Completes at once when signalled since the last time. One waiter at a time.</summary>
    public ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        short version;
        lock (gate)
        {
            if (signalled)
            {
                signalled = false;
                return ValueTask.CompletedTask;
            }

            completion.Reset();
            version = completion.Version;
            waiting = true;
        }

        cancellation = cancellationToken.UnsafeRegister(static (state, token) => ((Wakeup)state!).Cancel(token), this);
        return new ValueTask(this, version);
    }

    private void Cancel(CancellationToken cancellationToken)
    {
        lock (gate)
        {
            if (!waiting)
            {
                return;
            }

            waiting = false;
        }

        completion.SetException(new OperationCanceledException(cancellationToken));
    }

    void IValueTaskSource.GetResult(short token)
    {
        // Waits for a callback under way, so that it cannot cancel the next wait.
        cancellation.Dispose();
        completion.GetResult(token);
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => completion.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        completion.OnCompleted(continuation, state, token, flags);
}
