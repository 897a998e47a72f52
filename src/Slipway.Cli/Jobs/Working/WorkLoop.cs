using System.Collections.Concurrent;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Working;

internal enum WorkUntil
{
    Stopped,

    /// <summary>Nothing is ready any more.</summary>
    Empty,

    /// <summary>One job was run, or none was there.</summary>
    OneJob,
}

/// <param name="Timeout">Of jobs that bring none; null: none.</param>
internal sealed record WorkOptions(string Org, string Queue, string Name, int Concurrency, TimeSpan Lease, TimeSpan? Timeout, WorkUntil Until);

/// <summary>
/// Leases jobs, runs them, tells the server how they ended, and keeps the leases meanwhile.
/// <code>
///   leasing ──jobs──► running (one task each) ──ends──► telling
///      ▲  free slots        ▲                              │
///      └────────────────────┼──────────────────────────────┘
///                        keeping: extends leases, learns of lost ones and of cancelled jobs
/// </code>
/// </summary>
/// <remarks>
/// Not the engine of Slipway.Queue over HTTP: here a job is a process or a request, of which a machine does hundreds a second and not hundreds of
/// thousands, and this program must start in a blink.
/// </remarks>
internal sealed class WorkLoop(WorkOptions options, SlipwayClient client, IJobRunner runner, WorkReport report, TimeProvider time) : IDisposable
{
    /// <summary>How long the server may hold an answer: below what proxies cut.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(20);

    /// <summary>How soon a running job learns that it was cancelled.</summary>
    private static readonly TimeSpan CancelWithin = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(10);

    /// <summary>What the server takes in one call.</summary>
    private const int MostBlocks = 100;

    private const int MostJobs = 1000;

    private readonly ConcurrentDictionary<string, HeldBlock> held = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Guid, CancellationTokenSource> running = new();
    private readonly SemaphoreSlim free = new(options.Concurrency);
    private readonly SemaphoreSlim ended = new(0);

    /// <param name="drain">Lease no more; what runs may end.</param>
    /// <param name="now">Stop what runs, and give it back.</param>
    /// <exception cref="SlipwayApiException">The server refuses for good: no right, no such queue.</exception>
    public async Task RunAsync(CancellationToken drain, CancellationToken now)
    {
        using var finished = new CancellationTokenSource();
        var telling = TellAsync(finished.Token);
        var keeping = KeepAsync(finished.Token);
        try
        {
            await LeaseAsync(drain, now);
        }
        finally
        {
            await AllFreeAsync();
            await finished.CancelAsync();
            ended.Release();
            await Task.WhenAll(telling, keeping);
        }
    }

    public void Dispose()
    {
        free.Dispose();
        ended.Dispose();
    }

    private async Task LeaseAsync(CancellationToken drain, CancellationToken now)
    {
        var attempt = 0;
        while (!drain.IsCancellationRequested)
        {
            var slots = await TakeSlotsAsync(drain);
            if (slots == 0)
            {
                return;
            }

            try
            {
                var asked = time.GetTimestamp();
                var idle = running.IsEmpty;
                var wait = options.Until == WorkUntil.Stopped ? LongestWait : TimeSpan.Zero;
                var answer = await client.LeaseAsync(
                    options.Org, options.Queue, new LeaseRequest(slots, (long)options.Lease.TotalMilliseconds, (long)wait.TotalMilliseconds, options.Name), drain);
                attempt = 0;
                report.Connected();
                foreach (var block in answer.Blocks)
                {
                    slots -= block.Jobs.Count;
                    Start(block, options.Lease - time.GetElapsedTime(asked), answer.Cancelled, now);
                }

                if (options.Until == WorkUntil.OneJob || (options.Until == WorkUntil.Empty && answer.Blocks.Count == 0 && idle))
                {
                    return;
                }

                if (options.Until == WorkUntil.Empty && answer.Blocks.Count == 0)
                {
                    // What runs may enqueue more: its end is the time to look again.
                    free.Release(slots);
                    slots = 0;
                    await SomeEndAsync(drain);
                }
            }
            catch (OperationCanceledException) when (drain.IsCancellationRequested)
            {
                return;
            }
            catch (Exception failure) when (IsPassing(failure))
            {
                var pause = RetryDelay.Next(++attempt, (failure as SlipwayApiException)?.RetryAfter);
                report.Disconnected(failure.Message, pause);
                await Task.Delay(pause, time, drain).ContinueWith(static _ => { }, TaskScheduler.Default);
            }
            finally
            {
                if (slots > 0)
                {
                    free.Release(slots);
                }
            }
        }
    }

    private async Task<int> TakeSlotsAsync(CancellationToken drain)
    {
        try
        {
            await free.WaitAsync(drain);
        }
        catch (OperationCanceledException)
        {
            return 0;
        }

        var slots = 1;
        while (options.Until != WorkUntil.OneJob && slots < MostJobs && await free.WaitAsync(0, CancellationToken.None))
        {
            slots++;
        }

        return slots;
    }

    private async Task SomeEndAsync(CancellationToken drain)
    {
        var before = running.Count;
        while (before > 0 && !drain.IsCancellationRequested)
        {
            // Taken before the look, so that no end falls between the two.
            var next = report.NextEnd;
            if (running.Count < before)
            {
                return;
            }

            await next.WaitAsync(drain);
        }
    }

    private async Task AllFreeAsync()
    {
        for (var slot = 0; slot < options.Concurrency; slot++)
        {
            await free.WaitAsync();
        }
    }

    private void Start(LeasedBlock block, TimeSpan left, IReadOnlyList<Guid> cancelled, CancellationToken now)
    {
        var holding = new HeldBlock(block, left, time);
        held[block.Id] = holding;
        for (var index = 0; index < block.Jobs.Count; index++)
        {
            _ = RunAsync(holding, index, block.Jobs[index].CancelRequested || cancelled.Contains(block.Jobs[index].Id), now);
        }
    }

    private async Task RunAsync(HeldBlock block, int index, bool isCancelled, CancellationToken now)
    {
        var job = new RunningJob(options.Org, block.Leased.Queue, block.Leased.Token, block.Leased.Jobs[index]);
        using var cancel = new CancellationTokenSource();
        running[job.Job.Id] = cancel;
        var begun = time.GetTimestamp();
        // Off the leasing loop's back, which has more to start.
        await Task.Yield();
        report.Started(job);
        var outcome = isCancelled ? JobOutcome.Cancelled
            : job.Job.Damage is { } damage ? JobOutcome.Dead("damaged", damage)
            : await RunAsync(job, block, cancel, now);
        if (outcome is not null)
        {
            block.Ended(index, outcome);
        }

        running.TryRemove(job.Job.Id, out _);
        report.Ended(job, outcome, time.GetElapsedTime(begun));
        if (outcome is null)
        {
            held.TryRemove(block.Leased.Id, out _);
        }

        ended.Release();
        free.Release();
    }

    /// <returns>Null: the lease is lost, and with it the right to say anything.</returns>
    private async Task<JobOutcome?> RunAsync(RunningJob job, HeldBlock block, CancellationTokenSource cancel, CancellationToken now)
    {
        var limit = job.Job.TimeoutMs > 0 ? TimeSpan.FromMilliseconds(job.Job.TimeoutMs) : options.Timeout;
        using var late = new CancellationTokenSource(limit ?? Timeout.InfiniteTimeSpan, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(block.Lost, cancel.Token, late.Token, now);
        try
        {
            return await runner.RunAsync(job, stop.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return block.Lost.IsCancellationRequested ? null
                : cancel.IsCancellationRequested ? JobOutcome.Cancelled
                : now.IsCancellationRequested ? JobOutcome.Released
                : JobOutcome.Failed("timeout", $"stopped after {Quantities.Text(limit!.Value)}, the time a run may take");
        }
        catch (Exception fault)
        {
            // Of this program, not of the job: told, and not the end of the worker.
            return JobOutcome.Failed(fault.GetType().Name, fault.Message);
        }
    }

    /// <summary>Tells the server of ends; while one call is under way the next ones gather.</summary>
    private async Task TellAsync(CancellationToken finished)
    {
        while (true)
        {
            await ended.WaitAsync(CancellationToken.None);
            while (await ended.WaitAsync(0, CancellationToken.None))
            {
                // All that have gathered go together.
            }

            var blocks = held.Values.Select(block => (Block: block, Ack: block.Take())).Where(pair => pair.Ack is not null).ToList();
            foreach (var some in blocks.Chunk(MostBlocks))
            {
                await TellAsync(some!);
            }

            if (finished.IsCancellationRequested && held.Values.All(block => block.IsTold))
            {
                return;
            }
        }
    }

    private async Task TellAsync((HeldBlock Block, AckedBlock Ack)[] blocks)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var answer = await client.AckBlocksAsync(options.Org, options.Queue, new AckBlocksRequest([.. blocks.Select(pair => pair.Ack)]), CancellationToken.None);
                foreach (var late in answer.Blocks.Where(state => state.State == "late"))
                {
                    report.Late(late.Id);
                    Lose(late.Id);
                }

                break;
            }
            catch (Exception failure) when (IsPassing(failure) && blocks.Any(pair => !pair.Block.Lost.IsCancellationRequested))
            {
                var pause = RetryDelay.Next(attempt, (failure as SlipwayApiException)?.RetryAfter);
                report.Disconnected(failure.Message, pause);
                await Task.Delay(pause, time, CancellationToken.None);
            }
            catch (Exception failure) when (failure is SlipwayApiException or SlipwayUnreachableException)
            {
                report.NotTold(blocks.Sum(pair => (pair.Ack.Done?.Count ?? 0) + (pair.Ack.Ended?.Count ?? 0)), failure.Message);
                break;
            }
        }

        foreach (var (block, _) in blocks.Where(pair => pair.Block.IsTold))
        {
            if (held.TryRemove(block.Leased.Id, out _))
            {
                block.Dispose();
            }
        }
    }

    /// <summary>Extends the leases at a third of their length, so that two may fail; and says that this worker lives.</summary>
    private async Task KeepAsync(CancellationToken finished)
    {
        var extended = time.GetTimestamp();
        var reported = -1L;
        while (!finished.IsCancellationRequested)
        {
            if (reported < 0 || time.GetElapsedTime(reported) >= ReportEvery)
            {
                reported = time.GetTimestamp();
                await TryAsync(() => client.ReportWorkerAsync(options.Org, options.Queue, options.Name, new JobWorkerReport(report.About(runner.About, options.Concurrency)), finished), finished);
            }

            var beat = held.Values.Any(block => block.HasTracked) ? Min(CancelWithin, options.Lease / 3) : options.Lease / 3;
            await Task.Delay(Min(beat, ReportEvery / 10), time, finished).ContinueWith(static _ => { }, TaskScheduler.Default);
            if (time.GetElapsedTime(extended) < beat || held.IsEmpty)
            {
                continue;
            }

            extended = time.GetTimestamp();
            foreach (var some in held.Keys.Chunk(MostBlocks))
            {
                await TryAsync(() => ExtendAsync(some, finished), finished);
            }
        }
    }

    private async Task ExtendAsync(string[] blocks, CancellationToken cancellationToken)
    {
        var asked = time.GetTimestamp();
        var answer = await client.ExtendBlocksAsync(options.Org, options.Queue, new ExtendBlocksRequest(blocks, (long)options.Lease.TotalMilliseconds), cancellationToken);
        foreach (var state in answer.Blocks)
        {
            if (state.State == "late")
            {
                Lose(state.Id);
            }
            else if (held.TryGetValue(state.Id, out var block))
            {
                block.Extended(options.Lease - time.GetElapsedTime(asked));
            }
        }

        foreach (var id in answer.Cancelled)
        {
            if (running.TryGetValue(id, out var cancel))
            {
                await CancelAsync(cancel);
            }
        }
    }

    private void Lose(string id)
    {
        if (held.TryGetValue(id, out var block))
        {
            block.Lose();
        }
    }

    private static async Task CancelAsync(CancellationTokenSource cancel)
    {
        try
        {
            await cancel.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // Ended in this moment.
        }
    }

    /// <summary>What fails here is tried again at the next beat; leases that end meanwhile end by themselves.</summary>
    private async Task TryAsync(Func<Task> call, CancellationToken finished)
    {
        try
        {
            await call();
        }
        catch (OperationCanceledException) when (finished.IsCancellationRequested)
        {
            // The end.
        }
        catch (Exception failure) when (failure is SlipwayApiException or SlipwayUnreachableException)
        {
            report.Disconnected(failure.Message, options.Lease / 3);
        }
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private static bool IsPassing(Exception failure) => failure switch
    {
        SlipwayUnreachableException { Reason: not UnreachableReason.NotSlipway } => true,
        SlipwayApiException { Problem.Status: 429 or >= 500 } => true,
        SlipwayApiException { Problem.Code: ProblemCodes.IdempotencyInProgress } => true,
        _ => false,
    };
}
