using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Slipway.Queue.Work;

/// <summary>Runs the jobs of one queue in this process.</summary>
/// <remarks>
/// <code>
///   broker ──► FetchLoop ──► ReadyJobs ◄── Slot × n ──► handlers
///     ▲            ▲                        │
///     │            └── signal ◄─────────────┤ a slot is free, few jobs are left, a block is finished
///     └── acks, settlements ◄── BlockLedger ◄┘
///     └── leases ◄── LeaseKeeper     slots ◄── Watchdog (time, stalls)     Reporter
/// </code>
/// Owner of all of these. <see cref="StopAsync"/> is the one way to stop.
/// </remarks>
internal sealed partial class Worker
{
    /// <summary>Broker calls at a stop (releases, the last acks) may take this long altogether; what they do not tell, the leases will.</summary>
    private static readonly TimeSpan FarewellTime = TimeSpan.FromSeconds(5);

    /// <summary>Types told apart of those that the handler for any type runs: the keys of a report, and of the broker's history.</summary>
    private const int MaxOthers = 100;

    private readonly IReadOnlyDictionary<string, Handler> handlers;
    private readonly Handler? any;
    private readonly QueueMetrics metrics;
    private readonly AsyncSignal fetch = new();
    private readonly CancellationTokenSource stopped = new();
    private readonly ConcurrentDictionary<Guid, (BlockRun Block, int Index)> tracked = new();
    private readonly ConcurrentDictionary<Guid, bool> cancelled = new();
    private readonly Dictionary<string, Tally> others = new(StringComparer.Ordinal);
    private readonly FetchLoop fetching;
    private readonly Reporter reporter;
    private Slot[] slots = [];
    private Tally[] retired;
    private Task[] loops = [];
    private long jobs;
    private long busy;

    public Worker(IQueueBroker broker, IReadOnlyList<Handler> all, WorkQueueOptions options, QueueMetrics metrics, ServerClock clock)
    {
        Broker = broker;
        Options = options;
        this.metrics = metrics;
        handlers = all.Where(handler => handler.Type != Handler.Any).ToDictionary(handler => handler.Type, StringComparer.Ordinal);
        any = all.FirstOrDefault(handler => handler.Type == Handler.Any);
        retired = new Tally[all.Count];
        Logger = options.Logging.CreateLogger("Slipway.Queue.Worker");
        HandlerLogger = options.Logging.CreateLogger("Slipway.Queue.Job");
        LogsScopes = options.Logging is not NullLoggerFactory && HandlerLogger.IsEnabled(LogLevel.Critical);
        Concurrency = SlotsFor(all, options.Concurrency);
        foreach (Handler handler in all.Where(handler => handler.Concurrency < Concurrency))
        {
            handler.Limit = handler.Concurrency!.Value;
        }

        Types = string.Join(' ', all.Select(handler => handler.Type));
        Clock = clock;
        Budget = new RetryBudget(options.RetryShare, options.RetryFloorPerSecond, options.Time);
        Ready = new ReadyJobs(fetch);
        Ledger = new BlockLedger(broker, options.AckWindow, fetch, metrics, options.Time, Logger) { Lost = OnLost, Stopped = stopped.Token };
        Reaper = new Reaper(broker, metrics, Logger);
        fetching = new FetchLoop(this, fetch, Concurrency, options.MaxPrefetch);
        reporter = new Reporter(this, metrics);
        AllHandlers = all;
    }

    public IQueueBroker Broker { get; }

    public WorkQueueOptions Options { get; }

    public TimeProvider Time => Options.Time;

    public ServerClock Clock { get; }

    public ReadyJobs Ready { get; }

    public BlockLedger Ledger { get; }

    public Reaper Reaper { get; }

    public RetryBudget Budget { get; }

    public ILogger Logger { get; }

    public ILogger HandlerLogger { get; }

    public bool LogsScopes { get; }

    public int Concurrency { get; }

    public string Types { get; }

    public IReadOnlyList<Handler> AllHandlers { get; }

    public IReadOnlyList<Slot> Slots => Volatile.Read(ref slots);

    /// <summary>No slot got free for a while: take nothing ahead.</summary>
    public bool Stalled { get; set; }

    public bool IsStopping { get; private set; }

    /// <summary>Runs and their time so far, in ticks of the process's clock.</summary>
    public (long Jobs, long Busy) Measured => (Interlocked.Read(ref jobs), Interlocked.Read(ref busy));

    /// <summary>Since the broker last answered a fetch: at most about 2 s in a healthy worker, however busy or idle.</summary>
    public TimeSpan SinceProgress => Time.GetElapsedTime(fetching.ProgressedAt);

    public void Start()
    {
        slots = [.. Enumerable.Range(0, Concurrency).Select(_ => new Slot(this, AllHandlers.Count))];
        foreach (Slot slot in slots)
        {
            Ready.AddSlot(slot);
        }

        Broker.CancelRequested += OnCancelRequested;
        loops =
        [
            Supervise("fetch", fetching.RunAsync),
            Supervise("acks", Ledger.AckAsync),
            Supervise("leases", new LeaseKeeper(Broker, Ledger, Options.Lease, Time, Logger).RunAsync),
            Supervise("watchdog", new Watchdog(this).RunAsync),
            Supervise("reports", reporter.RunAsync),
        ];
    }

    /// <summary>
    /// Gives unstarted jobs back, lets running ones finish for <paramref name="grace"/>, then cancels them, gives back what still
    /// runs, and tells the broker the last acks.
    /// </summary>
    public async Task StopAsync(TimeSpan grace, CancellationToken cutShort)
    {
        IsStopping = true;
        fetch.Raise();
        ReleaseUnstarted();
        Task idle = IdleAsync();
        if (!await EndsWithinAsync(idle, grace, cutShort).ConfigureAwait(false))
        {
            CancelRuns(_ => true, CancelCause.Stop);
            if (!await EndsWithinAsync(idle, Options.StopCancelGrace, CancellationToken.None).ConfigureAwait(false))
            {
                foreach (Slot slot in Slots)
                {
                    if (slot.Current is { } run && run.Abandon())
                    {
                        Replace(slot, run);
                    }
                }
            }
        }

        await EndsWithinAsync(Ledger.DrainedAsync(), FarewellTime, CancellationToken.None).ConfigureAwait(false);
        Broker.CancelRequested -= OnCancelRequested;
        await stopped.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Log.Stopped(Logger, Broker.Queue, Ledger.Known.Count);
    }

    /// <summary>Takes fetched blocks in. Returns how many jobs they have.</summary>
    public int Accept(IReadOnlyList<JobBlock> blocks)
    {
        int got = 0;
        foreach (JobBlock block in blocks)
        {
            got += block.Jobs.Count;
            if (block.Jobs.Count > 0)
            {
                Accept(block);
            }
        }

        if (got > 0)
        {
            metrics.Consumed(got);
        }

        return got;
    }

    public JobContext Begin(BlockRun block, int index, Handler handler, CancellationTokenSource cancellation, long now)
    {
        Job job = block.Block.Jobs[index];
        TimeSpan timeout = job.Timeout > TimeSpan.Zero ? job.Timeout : handler.Timeout ?? Options.Timeout;
        var run = new JobContext(this, block, index, job, handler, cancellation)
        {
            StartedAt = now,
            TimesOutAt = now + (long)(timeout.TotalSeconds * Time.TimestampFrequency),
        };
        if (job.Tracked && cancelled.ContainsKey(job.Id))
        {
            run.Cancel(CancelCause.Request, now);
        }

        return run;
    }

    /// <summary>The handler returned or threw. True: the run counts as failed.</summary>
    public bool End(JobContext run, Exception? error)
    {
        Job job = run.Job;
        Forget(job);
        if (Volatile.Read(ref run.Block.Lost))
        {
            metrics.LateAcks(1);
            return error is not null;
        }

        if (error is null)
        {
            if (job.NeedsSettling || (job.Tracked && !run.Result.IsEmpty))
            {
                Ledger.End(run.Block, new JobEnd(run.Index, JobEndKind.Completed, Result: run.Result));
            }
            else
            {
                Ledger.Done(run.Block, run.Index);
            }

            return false;
        }

        JobEnd end = run.Cause switch
        {
            CancelCause.Stop => new JobEnd(run.Index, JobEndKind.Released),
            CancelCause.Request => new JobEnd(run.Index, JobEndKind.Cancelled, Reason: "cancelled"),
            CancelCause.Timeout => run.Handler.Rules.TimedOut(run.Index, job, TimeoutOf(run), stopped: true, Budget),
            _ => run.Handler.Rules.EndOf(run.Index, job, error, Budget),
        };
        if (run.Cause is CancelCause.None)
        {
            Log.Failed(HandlerLogger, Broker.Queue, job.Type, job.Id, job.Attempt, end.Kind, error);
        }

        EndFailed(run.Block, job, end);
        return end.Kind is not (JobEndKind.Released or JobEndKind.Cancelled);
    }

    /// <summary>A handler that does not return: its job ends without it, and another slot takes its place.</summary>
    public void Replace(Slot slot, JobContext run)
    {
        Forget(run.Job);
        var another = new Slot(this, AllHandlers.Count);
        lock (stopped)
        {
            for (int i = 0; i < retired.Length; i++)
            {
                retired[i].Add(slot.Tallies[i]);
            }

            slots = [.. slots.Where(other => other != slot), another];
        }

        Ready.Lose(run.Handler);
        Ready.AddSlot(another);
        if (!Volatile.Read(ref run.Block.Lost))
        {
            JobEnd end = run.Cause switch
            {
                CancelCause.Request => new JobEnd(run.Index, JobEndKind.Cancelled, Reason: "cancelled"),
                CancelCause.Timeout => run.Handler.Rules.TimedOut(run.Index, run.Job, TimeoutOf(run), stopped: false, Budget),
                _ => new JobEnd(run.Index, JobEndKind.Released),
            };
            EndFailed(run.Block, run.Job, end);
        }
    }

    public void ReleaseUnstarted()
    {
        foreach ((BlockRun block, int index) in Ready.TakeUnstarted(AllHandlers))
        {
            Forget(block.Block.Jobs[index]);
            Ledger.End(block, new JobEnd(index, JobEndKind.Released));
        }
    }

    public TimeSpan WaitOf(JobContext run)
    {
        TimeSpan wait = run.Block.Block.LeasedAt - run.Job.EnqueuedAt + Time.GetElapsedTime(run.Block.ArrivedAt, run.StartedAt);
        return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
    }

    /// <summary>A run ended.</summary>
    public void Ran(JobContext run, long busy, TimeSpan waited)
    {
        if (metrics.TimesRuns)
        {
            metrics.Ran(run.Job.Type, Time.GetElapsedTime(0, busy), waited);
        }
    }

    /// <summary>What a slot did since it last told.</summary>
    public void Measure(long jobs, long busy)
    {
        Interlocked.Add(ref this.jobs, jobs);
        Interlocked.Add(ref this.busy, busy);
    }

    /// <summary>A run of the handler for any type: told by the job's own.</summary>
    public void CountOther(string type, bool failed, long busy, TimeSpan waited)
    {
        lock (others)
        {
            string name = others.Count < MaxOthers || others.ContainsKey(type) ? type : Handler.Any;
            CollectionsMarshal.GetValueRefOrAddDefault(others, name, out _).Count(failed, busy, waited);
        }
    }

    /// <summary>By type, since the start.</summary>
    public IEnumerable<KeyValuePair<string, Tally>> Tally()
    {
        var sums = new Tally[AllHandlers.Count];
        lock (stopped)
        {
            retired.CopyTo(sums, 0);
            foreach (Slot slot in slots)
            {
                for (int i = 0; i < sums.Length; i++)
                {
                    sums[i].Add(slot.Tallies[i]);
                }
            }
        }

        lock (others)
        {
            return [.. AllHandlers.Where(handler => handler != any).Select(handler => KeyValuePair.Create(handler.Type, sums[handler.Index])), .. others];
        }
    }

    private static int SlotsFor(IReadOnlyList<Handler> handlers, int configured)
    {
        bool allLimited = handlers.All(handler => handler.Concurrency is not null);
        int limits = (int)Math.Min(int.MaxValue, handlers.Sum(handler => (long)(handler.Concurrency ?? 0)));
        int natural = limits + (allLimited ? 0 : Math.Max(10, 2 * Environment.ProcessorCount));
        return configured <= 0 ? natural : allLimited ? Math.Min(configured, limits) : configured;
    }

    private void Accept(JobBlock block)
    {
        var found = new Handler?[block.Jobs.Count];
        var run = new BlockRun(block, found, Time.GetTimestamp());
        Ledger.Add(run);
        int runnable = 0;
        Handler? last = null;
        for (int i = 0; i < found.Length; i++)
        {
            Job job = block.Jobs[i];
            if (job.Damage is null && !job.CancelRequested)
            {
                // Most blocks are of few types, and equal names are mostly the same string.
                last = last is not null && ReferenceEquals(last.Type, job.Type) ? last : handlers.GetValueOrDefault(job.Type) ?? any;
                found[i] = last;
                runnable += last is null ? 0 : 1;
            }

            if (job.Tracked)
            {
                tracked[job.Id] = (run, i);
            }
        }

        if (runnable < found.Length)
        {
            EndUnrunnable(run);
        }

        if (runnable > 0)
        {
            Ready.Add(run, runnable);
        }

        if (IsStopping)
        {
            ReleaseUnstarted();
        }
    }

    private void EndUnrunnable(BlockRun run)
    {
        for (int i = 0; i < run.Handlers.Length; i++)
        {
            if (run.Handlers[i] is null)
            {
                Job job = run.Block.Jobs[i];
                Forget(job);
                if (job is { CancelRequested: true, Damage: null })
                {
                    Ledger.End(run, new JobEnd(i, JobEndKind.Cancelled, Reason: "cancelled"));
                    continue;
                }

                JobEnd end = job.Damage is { } damage
                    ? new JobEnd(i, JobEndKind.Dead, Reason: "damaged", Error: damage)
                    : Options.UnknownJobs is UnknownJobs.Leave
                        ? new JobEnd(i, JobEndKind.Retry, TimeSpan.FromSeconds(1 + (4 * Random.Shared.NextDouble())), "no-handler", $"Nobody handles {job.Type} here.")
                        : new JobEnd(i, JobEndKind.Dead, Reason: "no-handler", Error: $"Nobody handles {job.Type} at {Broker.WorkerId}.");
                Log.Unrunnable(Logger, Broker.Queue, job.Type, job.Id, end.Reason);
                EndFailed(run, job, end);
            }
        }
    }

    private void EndFailed(BlockRun block, Job job, JobEnd end)
    {
        switch (end.Kind)
        {
            case JobEndKind.Retry or JobEndKind.Failed:
                metrics.Retried(job.Type);
                reporter.Failed(job.Type, end.Reason);
                break;
            case JobEndKind.Dead:
                metrics.Dead(job.Type, end.Reason);
                reporter.Failed(job.Type, end.Reason);
                break;
            default:
                break;
        }

        Ledger.End(block, end);
    }

    private TimeSpan TimeoutOf(JobContext run) => Time.GetElapsedTime(run.StartedAt, run.TimesOutAt);

    private void Forget(Job job)
    {
        if (job.Tracked)
        {
            tracked.TryRemove(job.Id, out _);
            cancelled.TryRemove(job.Id, out _);
        }
    }

    private void OnLost(BlockRun block)
    {
        foreach (Job job in block.Block.Jobs)
        {
            Forget(job);
        }

        CancelRuns(run => run.Block == block, CancelCause.LeaseLost);
    }

    private void OnCancelRequested(Guid id)
    {
        if (tracked.ContainsKey(id))
        {
            cancelled[id] = true;
            CancelRuns(run => run.Job.Id == id, CancelCause.Request);
        }
    }

    private void CancelRuns(Func<JobContext, bool> which, CancelCause cause)
    {
        long now = Time.GetTimestamp();
        foreach (Slot slot in Slots)
        {
            if (slot.Current is { } run && which(run))
            {
                run.Cancel(cause, now);
            }
        }
    }

    /// <summary>
    /// No job runs and none can come any more. A fetch that is on its way may have leased jobs already: given up, they would be
    /// nobody's until their lease runs out.
    /// </summary>
    private async Task IdleAsync()
    {
        await EndsWithinAsync(fetching.LastAnswered, FarewellTime, CancellationToken.None).ConfigureAwait(false);
        await Ready.WhenIdleAsync().ConfigureAwait(false);
    }

    private async Task<bool> EndsWithinAsync(Task task, TimeSpan time, CancellationToken cutShort)
    {
        await task.WaitAsync(time, Time, cutShort).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return task.IsCompleted;
    }

    /// <summary>Loops do not end but by the stop: one that throws is a bug, is told, and starts again.</summary>
    private Task Supervise(string loop, Func<CancellationToken, Task> run) => Task.Run(
        async () =>
        {
            for (int attempt = 0; !stopped.IsCancellationRequested; attempt++)
            {
                try
                {
                    await run(stopped.Token).ConfigureAwait(false);
                    return;
                }
                catch (Exception e) when (!stopped.IsCancellationRequested)
                {
                    Log.LoopFailed(Logger, Broker.Queue, loop, e);
                    await Backoff.AfterAsync(attempt, Time, stopped.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        },
        CancellationToken.None);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "queue {Queue}: {Type} {Id} failed in attempt {Attempt}: {Outcome}")]
        public static partial void Failed(ILogger logger, string queue, string type, Guid id, int attempt, JobEndKind outcome, Exception error);

        [LoggerMessage(2, LogLevel.Error, "queue {Queue}: {Type} {Id} cannot be run here: {Reason}")]
        public static partial void Unrunnable(ILogger logger, string queue, string type, Guid id, string reason);

        [LoggerMessage(3, LogLevel.Critical, "queue {Queue}: the {Loop} loop failed and starts again; this is a bug")]
        public static partial void LoopFailed(ILogger logger, string queue, string loop, Exception error);

        [LoggerMessage(4, LogLevel.Information, "queue {Queue}: worker stopped, {Blocks} blocks left to their leases")]
        public static partial void Stopped(ILogger logger, string queue, int blocks);
    }
}
