using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.BuildCache.Namespaces;

namespace Slipway.BuildCache;

/// <summary>
/// The life of the build cache in a server: reads the caches before the first request, then looks for changes made elsewhere and
/// for rights that ended, until it is stopped.
/// </summary>
internal sealed partial class BuildCacheService(BuildCacheDirectory caches, TimeProvider time, ILogger<BuildCacheService> logger) : IHostedService
{
    private readonly CancellationTokenSource stopping = new();
    private Task loop = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await caches.RefreshAsync(cancellationToken);
        loop = RunAsync();
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopping.CancelAsync();
        await loop;
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(AccessWatch.Interval, time);
        try
        {
            for (var round = 0; await timer.WaitForNextTickAsync(stopping.Token); round++)
            {
                try
                {
                    // Every other round: a second, as long as a revocation elsewhere takes too.
                    if (round % 2 == 0)
                    {
                        await caches.RefreshAsync(stopping.Token);
                    }

                    await caches.EndRevokedAsync(stopping.Token);
                }
                catch (Exception exception) when (exception is not OperationCanceledException)
                {
                    // The database is away; what is in memory goes on serving.
                    Log.NotRefreshed(logger, exception.Message);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "Changes of build caches could not be looked for: {Reason}")]
        public static partial void NotRefreshed(ILogger logger, string reason);
    }
}
