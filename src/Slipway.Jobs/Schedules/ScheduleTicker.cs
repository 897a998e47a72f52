using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Data;
using Slipway.Jobs.Producing;
using Slipway.Jobs.Queues;
using Slipway.Queue.Work;
using Slipway.Resp;
using Slipway.Tenancy;

namespace Slipway.Jobs.Schedules;

/// <summary>
/// Fires the schedules of all tenants. Every server does: the queue lets each slot through once, so there is no leader whose death could
/// cost one. Slots are told by the clock of Redis, which all servers share.
/// </summary>
internal sealed partial class ScheduleTicker(Database database, IRespClient redis, QueueDirectory queues, JobsOptions options, TimeProvider time, ILogger<ScheduleTicker> logger) : IHostedService
{
    /// <summary>How soon a schedule made at another server is known here; that server fires it meanwhile.</summary>
    private static readonly TimeSpan ReloadEvery = TimeSpan.FromSeconds(10);

    /// <summary>A slot that is late by less (a restart) is just fired; after that it counts as missed.</summary>
    private static readonly TimeSpan MissedAfter = TimeSpan.FromMinutes(1);

    private const int MostCaughtUp = 100;

    private readonly CancellationTokenSource stopping = new();
    private Dictionary<Guid, Known> known = [];
    private volatile TaskCompletionSource reload = NewSignal();
    private TimeSpan clockOffset;
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
    }

    /// <summary>Schedules were changed.</summary>
    public void Reload() => reload.TrySetResult();

    private DateTimeOffset Now => time.GetUtcNow() + clockOffset;

    private async Task RunAsync()
    {
        long loadedAt = 0;
        while (!stopping.IsCancellationRequested)
        {
            var pause = ReloadEvery;
            var signal = reload.Task;
            try
            {
                if (loadedAt == 0 || signal.IsCompleted || time.GetElapsedTime(loadedAt) >= ReloadEvery)
                {
                    reload = NewSignal();
                    signal = reload.Task;
                    await LoadAsync(stopping.Token);
                    loadedAt = time.GetTimestamp();
                }

                foreach (var schedule in known.Values)
                {
                    var due = await FireAsync(schedule, stopping.Token);
                    pause = due < pause ? due : pause;
                }
            }
            catch (Exception failure) when (failure is not OperationCanceledException)
            {
                // Database or Redis is away. Nothing is forgotten: what is due is found again, by the policy of its schedule.
                Log.Failed(logger, failure.Message);
                pause = TimeSpan.FromSeconds(1);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            using var awake = CancellationTokenSource.CreateLinkedTokenSource(stopping.Token);
            await Task.WhenAny(signal, Task.Delay(pause, time, awake.Token));
            await awake.CancelAsync();
        }
    }

    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        var clock = await redis.SendAsync(RespCommand.Of("TIME"), cancellationToken);
        clockOffset = DateTimeOffset.FromUnixTimeMilliseconds((clock.Items[0].AsInteger() * 1000) + (clock.Items[1].AsInteger() / 1000)) - time.GetUtcNow();

        List<ScheduleRow> rows;
        await using (var connection = await database.OpenAsync(cancellationToken))
        {
            rows = (await connection.QueryAsync<ScheduleRow>(new CommandDefinition($"{ScheduleRow.Select} where not s.paused", cancellationToken: cancellationToken))).AsList();
        }

        known = rows.ToDictionary(row => row.Id, row => known.TryGetValue(row.Id, out var before) && before.Row.Version == row.Version
            ? before
            : new Known(row, CronExpression.Parse(row.Cron, row.TimeZone)));
    }

    /// <summary>Fires what is due. Returns the time until the next slot.</summary>
    private async Task<TimeSpan> FireAsync(Known schedule, CancellationToken cancellationToken)
    {
        var row = schedule.Row;
        if (schedule.After is null)
        {
            if (await queues.FindAsync(row.QueueId, cancellationToken) is not { } fresh)
            {
                return ReloadEvery;
            }

            var since = new DateTimeOffset(row.Since);
            schedule.After = await fresh.Broker.LastFiredAsync(row.Name, cancellationToken) is { } fired && fired > since ? fired : since;
        }

        var now = Now;
        var due = Due(schedule, now);
        foreach (var slot in due)
        {
            if (await queues.FindAsync(row.QueueId, cancellationToken) is not { } queue)
            {
                return ReloadEvery;
            }

            var faults = new Faults();
            var draft = JobDrafts.Of(row.NewJob, "", options, faults);
            try
            {
                faults.ThrowIfAny();
                if (await queue.Broker.FireAsync(row.Name, slot, draft, cancellationToken))
                {
                    Log.Fired(logger, queue.Org, queue.Name, row.Name, slot);
                }
            }
            catch (Exception failure) when (failure is Slipway.Queue.QueueFullException or ApiException)
            {
                // This schedule's trouble, not that of the others: it is tried again with the next round.
                Log.NotFired(logger, queue.Org, queue.Name, row.Name, slot, failure.Message);
                return TimeSpan.FromSeconds(1);
            }

            schedule.After = slot;
        }

        // What the policy left out is passed too.
        if (due.Count == 0 && schedule.When.NextAfter(schedule.After.Value) is { } missed && missed <= now)
        {
            schedule.After = now;
        }

        // Rounded up: a timer that fires a millisecond early would find nothing due.
        return schedule.When.NextAfter(schedule.After.Value) is { } next ? Max(next - Now, TimeSpan.Zero) + TimeSpan.FromMilliseconds(1) : ReloadEvery;
    }

    /// <summary>The slots to fire now, oldest first.</summary>
    internal static IReadOnlyList<DateTimeOffset> Due(CronExpression when, DateTimeOffset after, DateTimeOffset now, string catchUp)
    {
        var due = new Queue<DateTimeOffset>();
        for (var slot = when.NextAfter(after); slot <= now; slot = when.NextAfter(slot.Value))
        {
            due.Enqueue(slot.Value);
            if (due.Count > MostCaughtUp)
            {
                due.Dequeue();
            }
        }

        var inTime = due.Where(slot => now - slot < MissedAfter).ToList();
        return catchUp switch
        {
            "all" => [.. due],
            "once" when inTime.Count == 0 => [.. due.TakeLast(1)],
            _ => inTime,
        };
    }

    private static IReadOnlyList<DateTimeOffset> Due(Known schedule, DateTimeOffset now) => Due(schedule.When, schedule.After!.Value, now, schedule.Row.CatchUp);

    private static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed record Known(ScheduleRow Row, CronExpression When)
    {
        /// <summary>Slots up to here are done with; null: not known yet.</summary>
        public DateTimeOffset? After { get; set; }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Debug, "{Org}/{Queue}: fired {Schedule} for {Slot}")]
        public static partial void Fired(ILogger logger, string org, string queue, string schedule, DateTimeOffset slot);

        [LoggerMessage(LogLevel.Warning, "{Org}/{Queue}: schedule {Schedule} could not be fired for {Slot}, will be tried again: {Reason}")]
        public static partial void NotFired(ILogger logger, string org, string queue, string schedule, DateTimeOffset slot, string reason);

        [LoggerMessage(LogLevel.Warning, "Schedules can't be fired, will be tried again: {Reason}")]
        public static partial void Failed(ILogger logger, string reason);
    }
}
