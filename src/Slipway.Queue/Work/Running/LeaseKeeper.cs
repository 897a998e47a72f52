using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

/// <summary>Renews the leases of all blocks at work in one call, at a third of the lease: two calls may fail before one is lost.</summary>
internal sealed partial class LeaseKeeper(IQueueBroker broker, BlockLedger ledger, TimeSpan lease, TimeProvider time, ILogger logger)
{
    public async Task RunAsync(CancellationToken stopped)
    {
        using var ticks = new PeriodicTimer(lease / 3, time);
        while (await NextAsync(ticks, stopped).ConfigureAwait(false))
        {
            IReadOnlyList<string> blocks = ledger.Unfinished;
            for (int attempt = 0; blocks.Count > 0 && !stopped.IsCancellationRequested; attempt++)
            {
                try
                {
                    IReadOnlyList<bool> mine = await broker.ExtendAsync(blocks, lease, stopped).ConfigureAwait(false);
                    for (int i = 0; i < blocks.Count; i++)
                    {
                        if (!mine[i])
                        {
                            ledger.Lose(blocks[i]);
                        }
                    }

                    break;
                }
                catch (Exception e) when (!stopped.IsCancellationRequested)
                {
                    // Not a reason to stop the handlers: while nobody reaches the broker, nobody else gets their jobs either.
                    Log.ExtendFailed(logger, broker.Queue, e.Message);
                    await Backoff.AfterAsync(attempt, time, stopped).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    blocks = ledger.Unfinished;
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
        }
    }

    private static async ValueTask<bool> NextAsync(PeriodicTimer ticks, CancellationToken stopped)
    {
        try
        {
            return await ticks.WaitForNextTickAsync(stopped).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "queue {Queue}: cannot renew leases, will try again: {Error}")]
        public static partial void ExtendFailed(ILogger logger, string queue, string error);
    }
}
