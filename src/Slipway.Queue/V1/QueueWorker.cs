using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Resp;

namespace Slipway.Queue.V1;

/// <summary>
/// Runs handlers for the jobs of one queue. One owner (this), one run at a time with one loop, one way to stop
/// (<see cref="StopAsync"/>): no new leases; running handlers finish within the grace; then they are cancelled and their jobs
/// given back. May be started again after a stop.
/// </summary>
public sealed partial class QueueWorker : IHostedService, IAsyncDisposable
{
    /// <summary>How long one lease call waits; only bounds how old <see cref="SinceProgress"/> can get in a healthy idle worker.</summary>
    private static readonly TimeSpan LeaseWait = TimeSpan.FromSeconds(15);

    private readonly WorkQueue queue;
    private readonly IReadOnlyDictionary<string, Func<Job, CancellationToken, Task>> handlers;
    private readonly QueueWorkerOptions options;
    private readonly TimeProvider time;
    private readonly ILogger<QueueWorker> logger;
    private readonly Lock gate = new();
    private Run? current;
    private long progressAt;

    /// <param name="handlers">By job type. A job of a type that is not here goes to the dead letters.</param>
    public QueueWorker(
        WorkQueue queue,
        IReadOnlyDictionary<string, Func<Job, CancellationToken, Task>> handlers,
        QueueWorkerOptions options,
        TimeProvider time,
        ILogger<QueueWorker> logger)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Concurrency, 1);
        this.queue = queue;
        this.handlers = handlers;
        this.options = options;
        this.time = time;
        this.logger = logger;
        progressAt = time.GetTimestamp();
    }

    /// <summary>
    /// Since the lease loop last got an answer from Redis (zero while every slot is busy). For readiness: a worker that is
    /// alive but deaf shows here. Healthy is below about 20 s.
    /// </summary>
    public TimeSpan SinceProgress =>
        Volatile.Read(ref current) is { } run && run.Slots.CurrentCount == 0 ? TimeSpan.Zero : time.GetElapsedTime(Volatile.Read(ref progressAt));

    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (gate)
        {
            if (current is not null)
            {
                throw new InvalidOperationException($"The worker of queue {queue.Name} runs already.");
            }

            Volatile.Write(ref progressAt, time.GetTimestamp());
            var run = new Run(options.Concurrency);
            run.Loops = [Task.Run(() => LeaseLoopAsync(run), CancellationToken.None), Task.Run(() => ReapLoopAsync(run), CancellationToken.None)];
            current = run;
        }

        return Task.CompletedTask;
    }

    /// <param name="cancellationToken">Cancelled: the grace is over now.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Run? run;
        lock (gate)
        {
            run = current;
        }

        if (run is null)
        {
            return;
        }

        await run.StopLeasing.CancelAsync();
        Task ended = run.EndedAsync();
        if (!await EndsWithinAsync(ended, options.StopGrace, cancellationToken))
        {
            Log.GraceOver(logger, queue.Name, run.ActiveCount);
            await run.CancelHandlers.CancelAsync();
            if (!await EndsWithinAsync(ended, options.AbandonAfter, CancellationToken.None))
            {
                Log.Abandoned(logger, queue.Name, run.ActiveCount);
                await run.Abandon.CancelAsync();
            }
        }

        lock (gate)
        {
            if (current == run)
            {
                current = null;
            }
        }
    }

    /// <summary>A stop without grace.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(new CancellationToken(canceled: true));

    private async Task<bool> EndsWithinAsync(Task ended, TimeSpan limit, CancellationToken cancellationToken)
    {
        await ended.WaitAsync(limit, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return ended.IsCompleted;
    }

    private async Task LeaseLoopAsync(Run run)
    {
        CancellationToken stopping = run.StopLeasing.Token;
        int faults = 0;
        while (!stopping.IsCancellationRequested)
        {
            bool holdsSlot = false;
            try
            {
                await run.Slots.WaitAsync(stopping);
                holdsSlot = true;
                Lease? lease = await queue.LeaseAsync(options.Visibility, LeaseWait, stopping);
                Volatile.Write(ref progressAt, time.GetTimestamp());
                faults = 0;
                if (lease is not null)
                {
                    holdsSlot = false;
                    run.Start(() => WorkAsync(lease, run));
                }
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
            }
            catch (Exception fault)
            {
                // Whatever it was, the loop goes on: a worker that is alive but leases no more is the worst of all ends.
                Log.LeaseFailed(logger, queue.Name, fault);
                await PauseAsync(++faults, stopping);
            }
            finally
            {
                if (holdsSlot)
                {
                    run.Slots.Release();
                }
            }
        }
    }

    private async Task ReapLoopAsync(Run run)
    {
        CancellationToken stopping = run.StopLeasing.Token;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                ReapResult step;
                do
                {
                    step = await queue.ReapAsync(stopping);
                    if (step.PutBack + step.Died > 0)
                    {
                        Log.Reaped(logger, queue.Name, step.PutBack, step.Died);
                    }
                }
                while (step.MoreToDo);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                Log.ReapFailed(logger, queue.Name, fault);
            }

            TimeSpan pause = options.ReapInterval * (0.8 + (Random.Shared.NextDouble() * 0.4));
            await Task.Delay(pause, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>From the lease to its end.</summary>
    private async Task WorkAsync(Lease lease, Run run)
    {
        if (run.StopLeasing.IsCancellationRequested)
        {
            // Leased in the moment of the stop: never started, so nothing to wait for.
            await EndAsync(lease, new JobEnd(JobEndKind.Released, ""), lost: CancellationToken.None, run);
            return;
        }

        var attempt = new JobAttempt(lease, queue, options, time, logger);
        await attempt.RunAsync(handlers.GetValueOrDefault(lease.Job.Type), run, EndAsync);
    }

    /// <summary>Tells Redis how the job ended, again and again until it is heard, the lease is lost, or the stop gives up.</summary>
    private async Task EndAsync(Lease lease, JobEnd end, CancellationToken lost, Run run)
    {
        int faults = 0;
        while (!lost.IsCancellationRequested && !run.Abandon.IsCancellationRequested)
        {
            try
            {
                bool ours = end.Kind switch
                {
                    JobEndKind.Completed => await queue.CompleteAsync(lease, run.Abandon.Token),
                    JobEndKind.Released => await queue.ReleaseAsync(lease, run.Abandon.Token),
                    JobEndKind.Dead => await queue.FailAsync(lease, null, end.Error, run.Abandon.Token),
                    _ => await queue.FailAsync(lease, options.Retry.DelayAfter(lease.Job.Attempt, Random.Shared.NextDouble()), end.Error, run.Abandon.Token),
                };
                if (!ours)
                {
                    Log.LateEnd(logger, lease.Job.Id, end.Kind);
                }

                return;
            }
            catch (OperationCanceledException) when (run.Abandon.IsCancellationRequested)
            {
                return;
            }
            catch (RespException fault)
            {
                Log.EndFailed(logger, lease.Job.Id, end.Kind, fault);
                await PauseAsync(++faults, run.Abandon.Token);
            }
        }
    }

    /// <summary>100 ms doubling to 5 s, 50–100 % of it.</summary>
    private Task PauseAsync(int faults, CancellationToken cancellationToken)
    {
        double milliseconds = Math.Min(5000, 100 * Math.Pow(2, Math.Min(faults - 1, 10))) * (0.5 + (Random.Shared.NextDouble() / 2));
        return SuppressedAsync(Task.Delay(TimeSpan.FromMilliseconds(milliseconds), time, cancellationToken));

        static async Task SuppressedAsync(Task pause) => await pause.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "Leasing from queue {Queue} failed")]
        public static partial void LeaseFailed(ILogger logger, string queue, Exception fault);

        [LoggerMessage(2, LogLevel.Warning, "Reaping queue {Queue} failed")]
        public static partial void ReapFailed(ILogger logger, string queue, Exception fault);

        [LoggerMessage(3, LogLevel.Warning, "Queue {Queue}: {PutBack} jobs of lost workers go back in line, {Died} lost theirs too often and are dead letters")]
        public static partial void Reaped(ILogger logger, string queue, long putBack, long died);

        [LoggerMessage(4, LogLevel.Warning, "Job {Id} is not ours any more; its end ({End}) was refused")]
        public static partial void LateEnd(ILogger logger, string id, JobEndKind end);

        [LoggerMessage(5, LogLevel.Warning, "The end ({End}) of job {Id} could not be stored; trying again")]
        public static partial void EndFailed(ILogger logger, string id, JobEndKind end, Exception fault);

        [LoggerMessage(6, LogLevel.Information, "Queue {Queue}: the grace of the stop is over; cancelling {Count} handlers")]
        public static partial void GraceOver(ILogger logger, string queue, int count);

        [LoggerMessage(7, LogLevel.Error, "Queue {Queue}: {Count} handlers ignore their cancellation; their leases will expire")]
        public static partial void Abandoned(ILogger logger, string queue, int count);
    }

    /// <summary>One start-to-stop.</summary>
    internal sealed class Run(int concurrency)
    {
        private readonly Lock gate = new();
        private readonly HashSet<Task> active = [];

        /// <summary>No new leases, no reaping.</summary>
        public CancellationTokenSource StopLeasing { get; } = new();

        /// <summary>The grace is over: handlers should end, their jobs go back.</summary>
        public CancellationTokenSource CancelHandlers { get; } = new();

        /// <summary>Nobody waits any more: no renewals, no further tries to store an end.</summary>
        public CancellationTokenSource Abandon { get; } = new();

        public SemaphoreSlim Slots { get; } = new(concurrency, concurrency);

        public Task[] Loops { get; set; } = [];

        public int ActiveCount
        {
            get
            {
                lock (gate)
                {
                    return active.Count;
                }
            }
        }

        public void Start(Func<Task> work)
        {
            // Task.Run: a handler that blocks before its first await must not block the lease loop.
            Task task = Task.Run(work, CancellationToken.None);
            lock (gate)
            {
                active.Add(task);
            }

            _ = task.ContinueWith(
                ended =>
                {
                    lock (gate)
                    {
                        active.Remove(ended);
                    }

                    Slots.Release();
                },
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        }

        public async Task EndedAsync()
        {
            await Task.WhenAll(Loops);
            Task[] rest;
            lock (gate)
            {
                rest = [.. active];
            }

            await Task.WhenAll(rest);
        }
    }
}
