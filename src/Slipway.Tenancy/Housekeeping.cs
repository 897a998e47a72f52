using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Slipway.Tenancy;

/// <summary>
/// Removes what has run out: answers kept for idempotency, counts of failed sign-ins, sessions long over. One loop; stopping ends it
/// between two statements. Any number of servers may do it at once.
/// </summary>
internal sealed partial class Housekeeping(NpgsqlDataSource database, SignInThrottle throttle, TimeProvider time, ILogger<Housekeeping> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(10);

    /// <summary>Sessions stay this long after their end, for looking up what an event names.</summary>
    private static readonly TimeSpan SessionMemory = TimeSpan.FromDays(30);

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await using (var connection = await database.OpenConnectionAsync(cancellationToken))
        {
            var now = time.GetUtcNow();
            await connection.ExecuteAsync(new CommandDefinition(
                """
                delete from idempotency_record where created_at <= @keptSince;
                delete from session where expires_at < @endedBefore;
                """,
                new { keptSince = now - IdempotencyRecords.Lifetime, endedBefore = now - SessionMemory },
                cancellationToken: cancellationToken));
        }

        await throttle.SweepAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await SweepAsync(stoppingToken);
                }
                catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
                {
                    Log.NotSwept(logger, exception);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "What has run out could not be removed; the next round tries again.")]
        public static partial void NotSwept(ILogger logger, Exception exception);
    }
}
