using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

internal sealed record Schedule(string Name, CronExpression When, CatchUp CatchUp, JobDraft Job);

/// <summary>
/// Fires schedules by the server's clock. Any number of processes may run the same schedules: the broker lets each slot through once.
/// </summary>
internal sealed partial class CronTicker(
    IQueueBroker broker, IReadOnlyList<Schedule> schedules, ServerClock clock, TimeSpan lease, QueueMetrics metrics, TimeProvider time, ILogger logger)
{
    /// <summary>The server's clock is asked anew so often; two clocks drift apart by some milliseconds meanwhile.</summary>
    private static readonly TimeSpan Resync = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, DateTimeOffset> last = new(StringComparer.Ordinal);
    private long syncedAt;

    public async Task RunAsync(CancellationToken stopped)
    {
        for (int failures = 0; !stopped.IsCancellationRequested;)
        {
            try
            {
                await SyncAsync(stopped).ConfigureAwait(false);
                TimeSpan pause = Resync;
                foreach (Schedule schedule in schedules)
                {
                    TimeSpan due = await FireDueAsync(schedule, stopped).ConfigureAwait(false);
                    pause = due < pause ? due : pause;
                }

                failures = 0;
                await Task.Delay(pause, time, stopped).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (stopped.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Log.Failed(logger, broker.Queue, e.Message);
                await Backoff.AfterAsync(failures++, time, stopped).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Fires what is due. Returns the time until the next slot.</summary>
    private async Task<TimeSpan> FireDueAsync(Schedule schedule, CancellationToken stopped)
    {
        DateTimeOffset now = clock.Now;
        if (!last.TryGetValue(schedule.Name, out DateTimeOffset after))
        {
            DateTimeOffset? fired = await broker.LastFiredAsync(schedule.Name, stopped).ConfigureAwait(false);
            // A schedule that never fired begins now: there is nothing to catch up with.
            after = fired is { } before ? CatchUpFrom(schedule, before, now) : now;
            last[schedule.Name] = after;
        }

        while (true)
        {
            DateTimeOffset? slot = schedule.When.NextAfter(after);
            if (slot is null || slot > now)
            {
                TimeSpan due = slot is null ? Resync : slot.Value - clock.Now;
                // Rounded up: a timer that fires a millisecond early would find nothing due.
                return due > TimeSpan.Zero ? due + TimeSpan.FromMilliseconds(1) : TimeSpan.FromMilliseconds(1);
            }

            if (await broker.FireAsync(schedule.Name, slot.Value, schedule.Job, stopped).ConfigureAwait(false))
            {
                metrics.CronFired(schedule.Name);
                Log.Fired(logger, broker.Queue, schedule.Name, slot.Value);
            }

            after = slot.Value;
            last[schedule.Name] = after;
        }
    }

    private static DateTimeOffset CatchUpFrom(Schedule schedule, DateTimeOffset fired, DateTimeOffset now)
    {
        var missed = new Queue<DateTimeOffset>();
        for (DateTimeOffset? slot = schedule.When.NextAfter(fired); slot <= now; slot = schedule.When.NextAfter(slot.Value))
        {
            missed.Enqueue(slot.Value);
            if (missed.Count > schedule.CatchUp.Most)
            {
                fired = missed.Dequeue();
            }
        }

        return fired;
    }

    private async Task SyncAsync(CancellationToken stopped)
    {
        if (!clock.IsKnown || time.GetElapsedTime(syncedAt) >= Resync)
        {
            FetchResult seen = await broker.FetchAsync(new FetchRequest(0, lease, []), stopped).ConfigureAwait(false);
            clock.Saw(seen.ServerTime);
            syncedAt = time.GetTimestamp();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "queue {Queue}: fired {Schedule} for {Slot}")]
        public static partial void Fired(ILogger logger, string queue, string schedule, DateTimeOffset slot);

        [LoggerMessage(2, LogLevel.Warning, "queue {Queue}: cannot fire schedules, will try again: {Error}")]
        public static partial void Failed(ILogger logger, string queue, string error);
    }
}
