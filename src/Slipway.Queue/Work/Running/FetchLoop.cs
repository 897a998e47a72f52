using Microsoft.Extensions.Logging;
using Slipway.Resp;

namespace Slipway.Queue.Work;

/// <summary>
/// Fetches blocks as slots get free, and closes finished ones with the same call. One loop, one fetch at a time: what gathers
/// meanwhile makes the next one larger.
/// </summary>
/// <remarks>
/// How much: free slots, and about <see cref="AheadMilliseconds"/> of work besides, by the measured mean run. So short jobs come in
/// large blocks, jobs of 5 ms find the next one waiting, and slow handlers hoard nothing.
/// </remarks>
internal sealed partial class FetchLoop
{
    /// <summary>Ten round trips to a loaded Redis: the slots do not run dry while a fetch is on its way.</summary>
    private const double AheadMilliseconds = 5;

    /// <summary>Jobs that take longer are not taken ahead: a waiting one could be at work elsewhere.</summary>
    private const double LongestAheadMilliseconds = 50;

    /// <summary>Before anything was measured.</summary>
    private const double FirstMeanMilliseconds = 5;

    /// <summary>Below this a handler does not wait for anything, and more threads than processors are of no use.</summary>
    private const double NeverWaitsMilliseconds = 0.1;

    /// <summary>A wake-up may be lost with its connection: look without one, so often. Jittered up from 1.1 s, so that reports fit into one command per second.</summary>
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(1100);

    private readonly Worker worker;
    private readonly AsyncSignal signal;
    private readonly ITimer timer;
    private readonly int slots;
    private readonly int maxPrefetch;
    private readonly TaskCompletionSource lastAnswered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task wake = Task.CompletedTask;
    private Task? awaitedWake;
    private bool mayHaveMore = true;
    private bool inDoubt = true;
    private int failures;
    private long polledAt;
    private long dueAt = long.MaxValue;
    private long meanJobs;
    private long meanBusy;
    private double mean = FirstMeanMilliseconds;

    public FetchLoop(Worker worker, AsyncSignal signal, int slots, int maxPrefetch)
    {
        this.worker = worker;
        this.signal = signal;
        this.slots = slots;
        this.maxPrefetch = maxPrefetch;
        timer = worker.Time.CreateTimer(static signal => ((AsyncSignal)signal!).Raise(), signal, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        ProgressedAt = worker.Time.GetTimestamp();
        polledAt = ProgressedAt;
    }

    /// <summary>When the broker last answered a fetch, by the process's clock.</summary>
    public long ProgressedAt { get; private set; }

    /// <summary>Completes when the worker is stopping and no fetch for new jobs is on its way or in doubt any more.</summary>
    public Task LastAnswered => lastAnswered.Task;

    /// <summary>Of a run, in milliseconds, over the last ones.</summary>
    public double Mean => mean;

    /// <summary>Until <see cref="Worker.IsStopping"/>; then it only closes what is finished, until <paramref name="stopped"/>.</summary>
    public async Task RunAsync(CancellationToken stopped)
    {
        await using (timer.ConfigureAwait(false))
        {
            await using CancellationTokenRegistration wake = stopped.UnsafeRegister(static signal => ((AsyncSignal)signal!).Raise(), signal);
            while (!stopped.IsCancellationRequested)
            {
                try
                {
                    await TurnAsync(stopped).ConfigureAwait(false);
                    failures = 0;
                }
                catch (OperationCanceledException) when (stopped.IsCancellationRequested)
                {
                    return;
                }
                catch (Exception e)
                {
                    Log.FetchFailed(worker.Logger, worker.Broker.Queue, e.Message, e is RespException ? null : e);
                    inDoubt = true;
                    mayHaveMore = true;
                    await Backoff.AfterAsync(failures++, worker.Time, stopped).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        }
    }

    private async Task TurnAsync(CancellationToken stopped)
    {
        if (inDoubt)
        {
            // Also at a stop: what the lost answer leased is nobody's until its lease runs out, unless it is given back.
            IReadOnlyList<JobBlock> found = await worker.Broker.RecoverAsync(worker.Ledger.Known, stopped).ConfigureAwait(false);
            inDoubt = false;
            worker.Accept(found);
        }

        if (worker.IsStopping)
        {
            lastAnswered.TrySetResult();
        }

        long now = worker.Time.GetTimestamp();
        bool poll = worker.Time.GetElapsedTime(polledAt, now) >= Poll || now >= dueAt;
        mayHaveMore |= poll || wake.IsCompleted;
        int wanted = Wanted();
        bool closing = worker.Ledger.HasFinished(out TimeSpan since) && (!mayHaveMore || worker.IsStopping || since >= worker.Options.AckWindow || wanted > 0);
        if ((mayHaveMore && wanted > 0) || closing || (poll && !worker.IsStopping))
        {
            // Taken before the fetch and looked at after it: nothing is missed in between.
            wake = worker.Broker.NextWake;
            await FetchAsync(wanted, stopped).ConfigureAwait(false);
        }
        else
        {
            WakeUpBy(wake);
            TimeSpan pause = Poll * (1 + (Random.Shared.NextDouble() / 5)) - worker.Time.GetElapsedTime(polledAt, now);
            if (dueAt != long.MaxValue)
            {
                TimeSpan due = worker.Time.GetElapsedTime(now, dueAt);
                pause = due < pause ? due : pause;
            }

            timer.Change(pause > TimeSpan.Zero ? pause : TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
            await signal.WaitAsync().ConfigureAwait(false);
        }
    }

    private async Task FetchAsync(int wanted, CancellationToken stopped)
    {
        List<BlockRun> finished = worker.Ledger.TakeFinished();
        FetchResult result;
        try
        {
            result = await worker.Broker.FetchAsync(
                new FetchRequest(wanted, worker.Options.Lease, finished.ConvertAll(block => block.Id)), stopped).ConfigureAwait(false);
        }
        catch
        {
            worker.Ledger.PutBack(finished);
            throw;
        }

        ProgressedAt = worker.Time.GetTimestamp();
        polledAt = ProgressedAt;
        dueAt = result.Next is { } next ? ProgressedAt + (long)Math.Ceiling(Math.Max(0, next.TotalSeconds) * worker.Time.TimestampFrequency) : long.MaxValue;
        worker.Clock.Saw(result.ServerTime);
        worker.Ledger.Closed(finished, result.Late);
        int got = worker.Accept(result.Blocks);
        mayHaveMore = wanted > 0 ? result.More || got >= wanted : mayHaveMore;
        if (result.Expired.Count > 0)
        {
            await worker.Reaper.ReapAsync(result.Expired, stopped).ConfigureAwait(false);
            mayHaveMore = true;
        }
    }

    /// <summary>How many jobs to ask for now; zero while there are enough.</summary>
    private int Wanted()
    {
        if (worker.IsStopping)
        {
            return 0;
        }

        Measure();
        int ahead = Ahead();
        int low = ahead / 2;
        worker.Ready.FetchAt(low);
        worker.Ready.KeepOnThread(mean < NeverWaitsMilliseconds ? Environment.ProcessorCount : int.MaxValue);
        int idle = slots - worker.Ready.Busy;
        int queued = worker.Ready.Queued;
        // Those over their type's limit are held besides, but not without end: others may have room for them.
        int room = idle + ahead - queued - Math.Max(0, worker.Ready.Held - slots);
        return queued < idle || queued <= low ? Math.Clamp(room, 0, MaxBlock) : 0;
    }

    /// <summary>As <see cref="FetchRequest.Max"/> has it.</summary>
    private const int MaxBlock = 1000;

    private int Ahead() => worker.Stalled || mean > LongestAheadMilliseconds
        ? 0
        : (int)Math.Clamp(slots * AheadMilliseconds / Math.Max(mean, 0.001), 1, maxPrefetch);

    private void Measure()
    {
        (long jobs, long busy) = worker.Measured;
        if (jobs > meanJobs)
        {
            double latest = worker.Time.GetElapsedTime(0, busy - meanBusy).TotalMilliseconds / (jobs - meanJobs);
            // One slow job among few says little, a thousand jobs say all.
            double weight = Math.Min(1, 0.1 + ((jobs - meanJobs) / 100.0));
            mean += (latest - mean) * weight;
            (meanJobs, meanBusy) = (jobs, busy);
        }
    }

    private void WakeUpBy(Task wake)
    {
        if (!mayHaveMore && !ReferenceEquals(wake, awaitedWake))
        {
            awaitedWake = wake;
            wake.GetAwaiter().UnsafeOnCompleted(signal.Raise);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "queue {Queue}: cannot fetch jobs, will try again: {Error}")]
        public static partial void FetchFailed(ILogger logger, string queue, string error, Exception? exception);
    }
}
