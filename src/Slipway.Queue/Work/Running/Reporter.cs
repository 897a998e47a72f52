using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

/// <summary>Adds up what the slots counted: into the metrics every second, to the broker every ten.</summary>
internal sealed partial class Reporter(Worker worker, QueueMetrics metrics)
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(10);

    /// <summary>As the broker keeps them per minute and type (<see cref="TypeCounts"/>).</summary>
    private const int MaxErrors = 20;

    private readonly ConcurrentDictionary<(string Type, string Reason), long> errors = new();
    private readonly Dictionary<string, Tally> counted = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Tally> reported = new(StringComparer.Ordinal);

    /// <summary>An error to be reported with its reason. Beyond 20 reasons per type only the number of failures is.</summary>
    public void Failed(string type, string reason)
    {
        if (errors.ContainsKey((type, reason)) || errors.Count < MaxErrors * 32)
        {
            errors.AddOrUpdate((type, reason), 1, static (_, count) => count + 1);
        }
    }

    public async Task RunAsync(CancellationToken stopped)
    {
        using var ticks = new PeriodicTimer(Tick, worker.Time);
        long reportedAt = worker.Time.GetTimestamp();
        await ReportAsync(stopped).ConfigureAwait(false);
        try
        {
            while (await ticks.WaitForNextTickAsync(stopped).ConfigureAwait(false))
            {
                Count();
                if (worker.Time.GetElapsedTime(reportedAt) >= ReportEvery)
                {
                    reportedAt = worker.Time.GetTimestamp();
                    await ReportAsync(stopped).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (stopped.IsCancellationRequested)
        {
            Count();
        }
    }

    private void Count()
    {
        foreach ((string type, Tally tally) in worker.Tally())
        {
            Tally before = counted.GetValueOrDefault(type);
            metrics.Completed(type, tally.Completed - before.Completed);
            metrics.Failed(type, tally.Failed - before.Failed);
            worker.Budget.Completed(tally.Completed - before.Completed);
            counted[type] = tally;
        }
    }

    private async Task ReportAsync(CancellationToken stopped)
    {
        var counts = new Dictionary<string, TypeCounts>(StringComparer.Ordinal);
        foreach ((string type, Tally tally) in worker.Tally())
        {
            Tally before = reported.GetValueOrDefault(type);
            if (tally.Completed + tally.Failed > before.Completed + before.Failed)
            {
                counts[type] = new TypeCounts(
                    tally.Completed - before.Completed,
                    tally.Failed - before.Failed,
                    worker.Time.GetElapsedTime(before.Busy, tally.Busy),
                    TimeSpan.FromTicks(tally.Waited - before.Waited),
                    errors.Keys.Where(error => error.Type == type).Take(MaxErrors)
                        .ToDictionary(error => error.Reason, error => errors.TryRemove(error, out long count) ? count : 0, StringComparer.Ordinal));
                reported[type] = tally;
            }
        }

        try
        {
            await worker.Broker.ReportAsync(new WorkerReport(About(), counts), stopped).ConfigureAwait(false);
        }
        catch (Exception e) when (!stopped.IsCancellationRequested)
        {
            Log.ReportFailed(worker.Logger, worker.Broker.Queue, e.Message);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private string About() => string.Create(
        CultureInfo.InvariantCulture, $"{Environment.MachineName} pid {Environment.ProcessId}, {worker.Ready.Busy} of {worker.Concurrency} at work, {worker.Types}");

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "queue {Queue}: cannot report: {Error}")]
        public static partial void ReportFailed(ILogger logger, string queue, string error);
    }
}
