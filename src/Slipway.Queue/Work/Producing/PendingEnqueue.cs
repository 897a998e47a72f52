using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;

namespace Slipway.Queue.Work;

/// <summary>One caller that waits for its enqueue: pooled, because at 150,000 a second each object counts.</summary>
internal sealed class PendingEnqueue : IValueTaskSource<Enqueued>
{
    /// <summary>As many as gather at most by default (<see cref="WorkQueueOptions.MaxGathered"/>).</summary>
    private const int MaxPooled = 10_000;

    private const int Gathered = 0;
    private const int Taken = 1;
    private const int Cancelled = 2;

    private static readonly ConcurrentQueue<PendingEnqueue> Pool = new();
    private static int pooled;

    // A caller's continuation must not run on the loop that completes the whole batch: it may block, even for a neighbour.
    private ManualResetValueTaskSourceCore<Enqueued> core = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration registration;
    private int state;

    public JobDraft Job { get; private set; } = null!;

    public WhenFull WhenFull { get; private set; }

    public static PendingEnqueue Rent(JobDraft job, WhenFull whenFull)
    {
        if (Pool.TryDequeue(out PendingEnqueue? pending))
        {
            Interlocked.Decrement(ref pooled);
        }
        else
        {
            pending = new PendingEnqueue();
        }

        pending.Job = job;
        pending.WhenFull = whenFull;
        pending.state = Gathered;
        return pending;
    }

    public ValueTask<Enqueued> Task => new(this, core.Version);

    /// <summary>A caller may leave as long as its job is not on its way.</summary>
    public void LeaveOn(CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
        {
            registration = cancellationToken.UnsafeRegister(
                static (state, token) =>
                {
                    var pending = (PendingEnqueue)state!;
                    if (Interlocked.CompareExchange(ref pending.state, Cancelled, Gathered) == Gathered)
                    {
                        pending.core.SetException(new OperationCanceledException(token));
                    }
                },
                this);
        }
    }

    /// <summary>False: its caller has left.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref state, Taken, Gathered) == Gathered;

    public void Complete(Enqueued result) => core.SetResult(result);

    public void Fail(Exception error) => core.SetException(error);

    Enqueued IValueTaskSource<Enqueued>.GetResult(short token)
    {
        try
        {
            return core.GetResult(token);
        }
        finally
        {
            Return();
        }
    }

    ValueTaskSourceStatus IValueTaskSource<Enqueued>.GetStatus(short token) => core.GetStatus(token);

    void IValueTaskSource<Enqueued>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        core.OnCompleted(continuation, state, token, flags);

    private void Return()
    {
        // Unregister does not wait for a callback that runs; one that does has lost its race, unless it cancelled us: then the
        // lane still holds this object, and it must not come back.
        bool reusable = registration.Token.CanBeCanceled ? registration.Unregister() : true;
        registration = default;
        Job = null!;
        if (reusable && state != Cancelled && Interlocked.Increment(ref pooled) <= MaxPooled)
        {
            core.Reset();
            Pool.Enqueue(this);
        }
        else if (reusable && state != Cancelled)
        {
            Interlocked.Decrement(ref pooled);
        }
    }
}
