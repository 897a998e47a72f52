using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

/// <summary>Keeps the gauges of the queue's depth fresh: every 2 s, as the original has it.</summary>
internal sealed partial class DepthGauges
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(2);

    private readonly IQueueAdmin admin;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private QueueStats? latest;

    public DepthGauges(IQueueAdmin admin, QueueMetrics metrics, TimeProvider time, ILogger logger)
    {
        this.admin = admin;
        this.time = time;
        this.logger = logger;
        metrics.AddDepthGauges(() => Volatile.Read(ref latest));
    }

    public async Task RunAsync(CancellationToken stopped)
    {
        using var ticks = new PeriodicTimer(Tick, time);
        try
        {
            do
            {
                await RefreshAsync(stopped).ConfigureAwait(false);
            }
            while (await ticks.WaitForNextTickAsync(stopped).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (stopped.IsCancellationRequested)
        {
        }
        finally
        {
            Volatile.Write(ref latest, null);
        }
    }

    private async Task RefreshAsync(CancellationToken stopped)
    {
        try
        {
            Volatile.Write(ref latest, await admin.StatsAsync(stopped).ConfigureAwait(false));
        }
        catch (Exception e) when (!stopped.IsCancellationRequested)
        {
            // No value is better than one that is not true any more.
            Volatile.Write(ref latest, null);
            Log.RefreshFailed(logger, e.Message);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "cannot read the queue's depth: {Error}")]
        public static partial void RefreshFailed(ILogger logger, string error);
    }
}
