using Microsoft.Extensions.Logging;
using Slipway.Queue.Work;

namespace Slipway.Queue;

/// <summary>One run of a job, as its handler sees it.</summary>
public sealed class JobContext
{
    internal JobContext(Worker worker, BlockRun block, int index, Job job, Handler handler, CancellationTokenSource cancellation)
    {
        Worker = worker;
        Block = block;
        Index = index;
        Job = job;
        Handler = handler;
        Cancellation = cancellation;
    }

    public Job Job { get; }

    /// <summary>Fencing token: a later lease of this job has a higher one. Whatever the job writes to can refuse lower ones than it saw.</summary>
    public long Token => Block.Block.Token;

    /// <summary>Why the token was cancelled, if it was.</summary>
    public CancelCause Cause => Volatile.Read(ref state) is > 0 and < Ended and var cause ? (CancelCause)cause : endedBy;

    public ILogger Logger => Worker.HandlerLogger;

    internal Worker Worker { get; }

    internal BlockRun Block { get; }

    internal int Index { get; }

    internal Handler Handler { get; }

    internal CancellationTokenSource Cancellation { get; }

    /// <summary>By the process's own clock, in its ticks.</summary>
    internal long StartedAt { get; init; }

    internal long TimesOutAt { get; init; }

    internal long CancelledAt { get; set; }

    internal ReadOnlyMemory<byte> Result { get; private set; }

    /// <summary>0 while it runs undisturbed, the <see cref="CancelCause"/> once cancelled, then one of the two below.</summary>
    private int state;

    private CancelCause endedBy;

    private const int Ended = 100;
    private const int Abandoned = 101;

    /// <summary>As <see cref="JobEnd.Result"/> has it.</summary>
    private const int MaxResultBytes = 64 * 1024;

    /// <summary>Tells how far a tracked job is; without effect on others.</summary>
    /// <param name="percent">0–100.</param>
    /// <param name="note">At most 500 characters.</param>
    /// <returns>False: not tracked.</returns>
    public Task<bool> ProgressAsync(double percent, string note, CancellationToken cancellationToken) =>
        Job.Tracked ? Worker.Broker.ProgressAsync(Job.Id, Math.Clamp(percent, 0, 100), note, cancellationToken) : Task.FromResult(false);

    /// <summary>Kept with a tracked job when it completes; without effect on others. At most 64 KiB.</summary>
    public void SetResult(ReadOnlyMemory<byte> result)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(result.Length, MaxResultBytes, nameof(result));
        Result = result;
    }

    internal bool IsRunning => Volatile.Read(ref state) == 0;

    internal bool IsCancelling => Volatile.Read(ref state) is > 0 and < Ended;

    /// <summary>Cancels the handler's token, once, unless it has ended.</summary>
    internal bool Cancel(CancelCause cause, long now)
    {
        if (!IsRunning)
        {
            return false;
        }

        CancelledAt = now;
        if (Interlocked.CompareExchange(ref state, (int)cause, 0) != 0)
        {
            return false;
        }

        // Asynchronous: what a handler registered on its token must not run on the loop that cancels.
        _ = Cancellation.CancelAsync();
        return true;
    }

    /// <summary>True: whoever called may end the job; the handler's end will be ignored.</summary>
    internal bool Abandon()
    {
        int seen = Volatile.Read(ref state);
        if (seen is not (> 0 and < Ended) || Interlocked.CompareExchange(ref state, Abandoned, seen) != seen)
        {
            return false;
        }

        endedBy = (CancelCause)seen;
        return true;
    }

    /// <summary>The handler returned.</summary>
    internal HandlerReturn Return()
    {
        int seen = Interlocked.Exchange(ref state, Ended);
        if (seen is > 0 and < Ended)
        {
            endedBy = (CancelCause)seen;
        }

        return seen switch
        {
            0 => HandlerReturn.Normal,
            Abandoned => HandlerReturn.TooLate,
            _ => HandlerReturn.AfterCancel,
        };
    }
}

/// <summary>Why a handler's token was cancelled.</summary>
public enum CancelCause
{
    None,

    /// <summary>The run took longer than allowed.</summary>
    Timeout,

    /// <summary>Somebody asked for it (<see cref="IQueueBroker.CancelAsync"/>).</summary>
    Request,

    /// <summary>The lease was lost: another worker has or will have the job. Whatever this run still writes, it writes besides the other.</summary>
    LeaseLost,

    /// <summary>The process stops; the job goes back.</summary>
    Stop,
}

internal enum HandlerReturn
{
    Normal,
    AfterCancel,
    TooLate,
}
