using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.BuildCache.Namespaces;
using Slipway.Tenancy;

namespace Slipway.BuildCache;

/// <summary>
/// The life of the build cache in a server: opens the store and reads the caches before the first request, then looks for changes made
/// elsewhere and for rights that ended, until it is stopped.
/// </summary>
internal sealed partial class BuildCacheService(BuildCacheDirectory caches, CacheSpaces spaces, Authenticator authenticator, TimeProvider time, ILogger<BuildCacheService> logger) : IHostedService
{
    private readonly CancellationTokenSource stopping = new();
    private Task loop = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await spaces.OpenAsync(cancellationToken);
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
            // At first too: a server may have stopped between a cache's deletion and that of its segments.
            var sweep = true;
            var tick = timer.WaitForNextTickAsync(stopping.Token).AsTask();
            for (var forgotten = authenticator.Forgotten; ;)
            {
                var isTick = await Task.WhenAny(tick, forgotten) == tick && await tick;
                // Before the look: what is forgotten during it is looked at again.
                forgotten = authenticator.Forgotten;
                try
                {
                    if (isTick)
                    {
                        tick = timer.WaitForNextTickAsync(stopping.Token).AsTask();
                        // Before the look at the database: a space is only made for a cache that is known, so what is unknown after it has none.
                        var owners = spaces.Owners;
                        if (await caches.RefreshAsync(stopping.Token) || sweep)
                        {
                            await DropOrphansAsync(owners);
                            sweep = !spaces.Loaded.IsCompletedSuccessfully;
                        }
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

    private async Task DropOrphansAsync(IReadOnlyList<Guid> owners)
    {
        foreach (var owner in owners.Where(owner => caches.Find(owner) is null))
        {
            await spaces.DropAsync(owner, stopping.Token);
            Log.Dropped(logger, owner);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "What build cache {Cache} held is dropped: the cache was deleted.")]
        public static partial void Dropped(ILogger logger, Guid cache);

        [LoggerMessage(LogLevel.Warning, "Changes of build caches could not be looked for: {Reason}")]
        public static partial void NotRefreshed(ILogger logger, string reason);
    }
}
