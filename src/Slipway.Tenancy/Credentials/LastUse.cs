using System.Collections.Concurrent;
using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Slipway.Tenancy;

/// <summary>
/// When sessions and keys were last used, written in batches. One loop; stopping it writes what is left. A crash loses at most
/// <see cref="Interval"/> of it, which only a reader of "last used" could notice.
/// </summary>
internal sealed partial class LastUse(NpgsqlDataSource database, TimeProvider time, ILogger<LastUse> logger) : BackgroundService
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private ConcurrentDictionary<(TokenKind Kind, Guid Id), DateTimeOffset> noted = new();

    public void Note(TokenKind kind, Guid id) => noted[(kind == TokenKind.Session ? kind : TokenKind.UserKey, id)] = time.GetUtcNow();

    public async Task FlushAsync(CancellationToken cancellationToken)
    {
        var batch = Interlocked.Exchange(ref noted, new());
        if (batch.IsEmpty)
        {
            return;
        }

        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        foreach (var kind in batch.GroupBy(pair => pair.Key.Kind))
        {
            var table = kind.Key == TokenKind.Session ? "session" : "api_key";
            await connection.ExecuteAsync(new CommandDefinition(
                $"""
                update {table} t set last_used_at = used.at
                from unnest(@ids, @times) as used(id, at)
                where t.id = used.id and (t.last_used_at is null or t.last_used_at < used.at)
                """,
                new
                {
                    ids = kind.Select(pair => pair.Key.Id).ToArray(),
                    times = kind.Select(pair => pair.Value.UtcDateTime).ToArray(),
                },
                cancellationToken: cancellationToken));
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await TryFlushAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }

        await TryFlushAsync(CancellationToken.None);
    }

    private async Task TryFlushAsync(CancellationToken cancellationToken)
    {
        try
        {
            await FlushAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
        {
            Log.NotWritten(logger, exception);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "Last-used times could not be written; those of the last seconds are lost.")]
        public static partial void NotWritten(ILogger logger, Exception exception);
    }
}
