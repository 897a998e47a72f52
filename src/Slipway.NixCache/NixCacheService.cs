using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Content;
using Slipway.Data;

namespace Slipway.NixCache;

/// <summary>
/// The life of the Nix cache in a server: opens the stores and reads the caches before the first request, then does the chores
/// until it is stopped.
/// </summary>
internal sealed partial class NixCacheService(
    Database database, ContentStores stores, CacheDirectory caches, ArchiveRecovery recovery, StoreSweep sweep,
    NixCacheOptions options, TimeProvider time, ILogger<NixCacheService> logger) : IHostedService
{
    private static readonly TimeSpan ChoreInterval = TimeSpan.FromHours(1);

    /// <summary>How soon a queued archive whose job was lost (Redis restored from an old state) is enqueued again.</summary>
    private static readonly TimeSpan RecoveryInterval = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource stopping = new();
    private Task chores = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await OpenStoresAsync(cancellationToken);
        await caches.LoadAllAsync(cancellationToken);
        chores = Task.WhenAll(
            RepeatAsync(RecoveryInterval, recovery.RunAsync, atOnce: true, stopping.Token),
            RepeatAsync(ChoreInterval, sweep.RunAsync, atOnce: false, stopping.Token));
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopping.CancelAsync();
        await chores;
    }

    private async Task OpenStoresAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into content_store (id, name, kind, path, created_at) values (@id, 'default', 'disk', @path, @now) on conflict (name) do nothing",
            new { id = EntityId.New(time), path = Path.Combine(options.StoreFolder, "default"), now = time.GetUtcNow() }, cancellationToken: cancellationToken));
        foreach (var (id, name, path) in await connection.QueryAsync<(Guid, string, string)>(new CommandDefinition("select id, name, path from content_store", cancellationToken: cancellationToken)))
        {
            await stores.OpenAsync(id, name, path, cancellationToken);
        }
    }

    private async Task RepeatAsync(TimeSpan interval, Func<CancellationToken, Task> chore, bool atOnce, CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(interval, time);
        try
        {
            while (atOnce || await timer.WaitForNextTickAsync(stopping))
            {
                atOnce = false;
                try
                {
                    await chore(stopping);
                }
                catch (Exception exception) when (exception is not OperationCanceledException)
                {
                    // The world's failure (database away, disk full); the next round tries again.
                    Log.ChoreFailed(logger, exception, chore.Method.DeclaringType!.Name);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private static partial class Log
    {
        [LoggerMessage(Level = LogLevel.Warning, Message = "{Chore} failed and is tried again later.")]
        public static partial void ChoreFailed(ILogger logger, Exception exception, string chore);
    }
}
