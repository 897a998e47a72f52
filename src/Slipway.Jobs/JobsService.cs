using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Watching;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Jobs;

/// <summary>
/// The pulse of the queues this server has open: each two seconds their numbers for <c>/metrics</c> and the leases that ran out, each ten
/// what workers over HTTP did, each minute what nobody uses any more.
/// </summary>
internal sealed partial class JobsService(QueueDirectory queues, JobMetrics metrics, TimeProvider time, ILogger<JobsService> logger) : IHostedService
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);
    private const int ReportEvery = 5;
    private const int CloseEvery = 30;

    /// <summary>Queues asked in one round. Each answer costs Redis about 20 µs: 200 in 2 s are 0.2 % of it.</summary>
    private const int MostInRound = 200;

    private readonly CancellationTokenSource stopping = new();
    private Task loop = Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        loop = RunAsync();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopping.CancelAsync();
        await loop;
        foreach (var queue in queues.Open)
        {
            await TellAsync(queue, CancellationToken.None);
        }
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            for (var round = 1; await timer.WaitForNextTickAsync(stopping.Token); round++)
            {
                var open = queues.Open.ToList();
                metrics.Keep(open.Select(queue => queue.Id).ToHashSet());
                // With more queues than fit a round, each has its turn.
                var first = open.Count <= MostInRound ? 0 : round * MostInRound % open.Count;
                foreach (var queue in open.Skip(first).Concat(open.Take(first)).Take(MostInRound))
                {
                    await TendAsync(queue, round);
                }

                if (round % CloseEvery == 0)
                {
                    await queues.CloseIdleAsync();
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private async Task TendAsync(OpenQueue queue, int round)
    {
        try
        {
            var stats = await queue.Watch.RecentAsync(stopping.Token);
            metrics.Saw(queue, stats);
            if (stats.Leased > 0)
            {
                await queue.Line.TendAsync(stopping.Token);
            }

            if (round % ReportEvery == 0)
            {
                await TellAsync(queue, stopping.Token);
            }
        }
        catch (Exception failure) when (failure is RespException or ObjectDisposedException)
        {
            // Redis is away, or the queue was closed meanwhile; the next round looks again.
            Log.Failed(logger, queue.Org, queue.Name, failure.Message);
        }
    }

    private static async Task TellAsync(OpenQueue queue, CancellationToken cancellationToken)
    {
        var none = new Dictionary<string, TypeCounts>();
        foreach (var (name, about) in queue.Workers.Take())
        {
            await queue.Broker.ReportAsync(new WorkerReport(about.Length == 0 ? "over HTTP" : about, none, "http:" + name), cancellationToken);
        }

        var done = queue.Tallies.Take();
        if (done.Count > 0)
        {
            await queue.Broker.ReportAsync(new WorkerReport("", done), cancellationToken);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Debug, "queue {Org}/{Queue} could not be looked after: {Reason}")]
        public static partial void Failed(ILogger logger, string org, string queue, string reason);
    }
}
