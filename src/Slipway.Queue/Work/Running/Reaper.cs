using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

/// <summary>Puts the jobs of lost workers back, when a fetch saw that their leases are over.</summary>
internal sealed partial class Reaper(IQueueBroker broker, QueueMetrics metrics, ILogger logger)
{
    public async Task ReapAsync(IReadOnlyList<string> expired, CancellationToken cancellationToken)
    {
        BlockReap reap = await broker.ReapAsync(expired, cancellationToken).ConfigureAwait(false);
        if (reap.PutBack + reap.Died > 0)
        {
            metrics.Reaped(reap);
            Log.Reaped(logger, broker.Queue, reap.PutBack, reap.Died);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "queue {Queue}: a worker was not heard of any more: {PutBack} of its jobs are ready again, {Died} were lost too often and are dead")]
        public static partial void Reaped(ILogger logger, string queue, int putBack, int died);
    }
}
