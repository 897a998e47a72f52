namespace Slipway.Queue.Work;

/// <summary>
/// Runs one job at a time, as long as there are jobs. Between jobs of handlers that do not wait it stays on its thread; it never
/// ends but when its handler does not return.
/// </summary>
internal sealed class Slot(Worker worker, int handlers) : IThreadPoolWorkItem
{
    /// <summary>After so many jobs without a wait, the thread is offered to others: our own read loop may be waiting for it.</summary>
    private const int TurnJobs = 256;

    private const int TellAfterJobs = 32;

    /// <summary>0.1 ms, in ticks of the clock.</summary>
    private readonly long tellAfterBusy = worker.Time.TimestampFrequency / 10_000;

    private readonly Tally[] tallies = new Tally[handlers];
    private CancellationTokenSource cancellation = new();
    private JobContext? current;
    private (BlockRun Block, int Index, Handler Handler)? kept;
    private long untoldJobs;
    private long untoldBusy;

    /// <summary>What runs; for the watchdog.</summary>
    public JobContext? Current => Volatile.Read(ref current);

    /// <summary>Written by this slot alone, read by whoever adds up.</summary>
    public Tally[] Tallies => tallies;

    public void Schedule() => ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    private void Count(JobContext run, bool failed, long busy)
    {
        TimeSpan waited = worker.WaitOf(run);
        if (run.Handler.Type == Handler.Any)
        {
            worker.CountOther(run.Job.Type, failed, busy, waited);
        }
        else
        {
            tallies[run.Handler.Index].Count(failed, busy, waited);
        }

        worker.Ran(run, busy, waited);
        untoldJobs++;
        untoldBusy += busy;
        // All slots tell the same counter: short jobs in portions, long ones at once.
        if (untoldJobs >= TellAfterJobs || untoldBusy >= tellAfterBusy)
        {
            worker.Measure(untoldJobs, untoldBusy);
            (untoldJobs, untoldBusy) = (0, 0);
        }
    }

    private async Task RunAsync()
    {
        ExecutionContext? context = ExecutionContext.Capture();
        long now = worker.Time.GetTimestamp();
        Handler? ended = null;
        for (int turn = 0; ; turn++)
        {
            if (kept is { } job)
            {
                kept = null;
            }
            else if (worker.Ready.TryTake(this, ended, out job.Block, out job.Index, out job.Handler))
            {
                if (turn >= TurnJobs)
                {
                    kept = job;
                    Schedule();
                    return;
                }
            }
            else
            {
                return;
            }

            JobContext run = worker.Begin(job.Block, job.Index, job.Handler, cancellation, now);
            Volatile.Write(ref current, run);
            Exception? error = null;
            using (RunTrace trace = RunTrace.Start(worker, run))
            {
                try
                {
                    Task handling = run.IsCancelling
                        ? Task.FromException(new OperationCanceledException("Cancelled before it started."))
                        : job.Handler.RunAsync(run.Job, run, cancellation.Token);
                    if (!handling.IsCompletedSuccessfully)
                    {
                        worker.Ready.LeaveThread();
                        try
                        {
                            await handling.ConfigureAwait(false);
                        }
                        finally
                        {
                            worker.Ready.EnterThread();
                            turn = 0;
                        }
                    }
                }
                catch (Exception e)
                {
                    error = e;
                    trace.Failed(e);
                }
            }

            // What a handler left behind in the flow of execution is not for the next job.
            if (context is not null)
            {
                ExecutionContext.Restore(context);
            }

            now = worker.Time.GetTimestamp();
            switch (run.Return())
            {
                case HandlerReturn.TooLate:
                    worker.Ready.LeaveThread();
                    return;
                case HandlerReturn.AfterCancel:
                    cancellation = new CancellationTokenSource();
                    break;
                default:
                    if (!cancellation.TryReset())
                    {
                        cancellation = new CancellationTokenSource();
                    }

                    break;
            }

            Volatile.Write(ref current, null);
            ended = job.Handler;
            bool failed = worker.End(run, error);
            Count(run, failed, now - run.StartedAt);
        }
    }
}

/// <summary>What one slot did for one type. Longs: a read that races with a write sees the value before or after.</summary>
internal struct Tally
{
    public long Completed;
    public long Failed;

    /// <summary>In ticks of the process's clock.</summary>
    public long Busy;

    /// <summary>In <see cref="TimeSpan"/> ticks.</summary>
    public long Waited;

    public void Add(in Tally other)
    {
        Completed += other.Completed;
        Failed += other.Failed;
        Busy += other.Busy;
        Waited += other.Waited;
    }

    public void Count(bool failed, long busy, TimeSpan waited)
    {
        if (failed)
        {
            Failed++;
        }
        else
        {
            Completed++;
        }

        Busy += busy;
        Waited += waited.Ticks;
    }
}
