using System.Globalization;
using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Scenarios;

/// <summary>What a scenario may cost.</summary>
internal sealed record Bounds
{
    /// <summary>Duplicates at most; null: as many as are explained by a kill or stop, within <see cref="Window"/>.</summary>
    public int? Duplicates { get; init; } = 0;

    /// <summary>How long before a kill a run may have ended that is done again.</summary>
    public TimeSpan Window { get; init; } = Settlement.StatedWindow;

    /// <summary>Per kill or stop: jobs that may have been under way.</summary>
    public int UnderWay { get; init; }

    /// <summary>Acknowledged enqueues that may be lost, and which.</summary>
    public Func<ulong, bool> MayBeLost { get; init; } = _ => false;

    /// <summary>Dead letters, exactly.</summary>
    public int Dead { get; init; }

    /// <summary>Ids that ended otherwise than by a run.</summary>
    public IReadOnlySet<ulong>? Ended { get; init; }

    /// <summary>False where Redis itself lost writes: its counters went back with them.</summary>
    public bool CountersExact { get; init; } = true;

    /// <summary>Ends that the counters know and the handlers do not: cancelled before they ran.</summary>
    public int Cancelled { get; init; }
}

/// <summary>The end of a scenario: everything is drained, stopped, counted and compared.</summary>
internal static class Settlement
{
    /// <summary>
    /// The duplicate window that docs/chaos.md states: AckWindow (5 ms) until the acknowledgement is sent, and one round trip on a loaded
    /// machine of two cores until Redis has it.
    /// </summary>
    public static readonly TimeSpan StatedWindow = TimeSpan.FromMilliseconds(50);

    private static readonly string[] MustBeGone =
        ["leases", "blocks", "acked", "delayed", "waiting", "unique", "big", "ready:0", "ready:1", "ready:2", "ready:3", "ready:4", "ready:5", "ready:6", "ready:7"];

    private static readonly string[] MayStay =
        ["meta", "totals", "producers", "workers", "history", "limits", "cron", "jobs", "expiry", "batches", "dead", "reasons"];

    /// <summary>Stops producers, waits until nothing is ready, leased, delayed or waiting, stops workers.</summary>
    /// <param name="seconds">For the draining.</param>
    public static async Task<Account> SettleAsync(this Stage stage, PrivateRedis redis, Bounds bounds, double seconds = 90)
    {
        foreach (ProducerProcess producer in stage.Producers)
        {
            await producer.StopAsync(stage.Token);
        }

        RedisBroker broker = await stage.OpenAsync(redis.Url);
        QueueStats stats = await broker.StatsAsync(stage.Token);
        bool drained = await stage.UntilAsync(
            async () =>
            {
                stats = await broker.StatsAsync(stage.Token);
                return stats.ReadyTotal + stats.Delayed + stats.Leased + stats.Waiting == 0;
            },
            seconds);
        stage.Check("drained", drained, $"ready {stats.ReadyTotal}, delayed {stats.Delayed}, leased {stats.Leased}, waiting {stats.Waiting}");
        foreach (WorkerProcess worker in stage.Workers.Where(worker => !worker.Process.HasEnded))
        {
            int code = await worker.TerminateAsync(stage.Token);
            stage.Check($"{worker.Name} stops with exit code 0", code == 0, $"{code}");
        }

        // The last block of a worker is closed when it stops.
        stats = await broker.StatsAsync(stage.Token);
        Account account = Oracle.Judge(stage.Offers, [.. stage.RunLogs], await DeadAsync(broker, stage.Token), bounds.Ended);
        (stage.Account, stage.Stats) = (account, stats);
        Compare(stage, account, stats, bounds);
        await FindLeaksAsync(stage, redis, stats);
        return account;
    }

    /// <summary>Ids of all dead letters whose payload can be read.</summary>
    private static async Task<HashSet<ulong>> DeadAsync(RedisBroker broker, CancellationToken cancellationToken)
    {
        var dead = new HashSet<ulong>();
        string? before = null;
        while (await broker.DeadLettersAsync(new DeadFilter(), before, 1000, cancellationToken) is { Count: > 0 } page)
        {
            foreach (DeadLetter letter in page.Where(letter => letter.Job.Type == WorkerHost.JobType && letter.Job.Payload.Length >= 13))
            {
                dead.Add(JobWork.Read(letter.Job.Payload.Span).Id);
            }

            before = page[^1].Id;
        }

        return dead;
    }

    private static void Compare(Stage stage, Account account, QueueStats stats, Bounds bounds)
    {
        string examples = account.Examples.Count == 0 ? "" : $" ({string.Join("; ", account.Examples.Take(5))})";
        ulong[] unexpected = [.. account.Lost.Where(id => !bounds.MayBeLost(id))];
        stage.LostAllowed = account.Lost.Count - unexpected.Length;
        stage.Check("lost 0", unexpected.Length == 0, $"{unexpected.Length} of {account.Acknowledged}{examples}" + (stage.LostAllowed > 0 ? $", besides {stage.LostAllowed} within the stated window" : ""));
        stage.Check("ghosts 0", account.Ghosts.Count == 0, $"{account.Ghosts.Count}{examples}");
        if (bounds.Duplicates is { } most)
        {
            stage.Check($"duplicates at most {most}", account.Duplicates <= most, $"{account.Duplicates}{examples}");
            stage.DuplicateBound = $"{most}";
        }
        else
        {
            stage.DuplicateBound = $"{bounds.UnderWay} under way + ended in the last {bounds.Window.TotalMilliseconds:0} ms";
            stage.Check("every duplicate is explained by a kill or stop", account.DuplicatesUnexplained == 0, $"{account.DuplicatesUnexplained} of {account.Duplicates} are not{examples}");
            stage.Check($"duplicates of runs that were under way at most {bounds.UnderWay}", account.DuplicatesUnderWay <= bounds.UnderWay, $"{account.DuplicatesUnderWay}");
            stage.Aim(
                $"no run that ended over {bounds.Window.TotalMilliseconds:0} ms before the kill ran again", account.Window <= bounds.Window,
                $"{account.DuplicatesInWindow} duplicates, the longest window {account.Window.TotalMilliseconds:0.0} ms");
        }

        stage.Check($"dead letters {bounds.Dead}", account.Dead == bounds.Dead && stats.Dead == bounds.Dead, $"{account.Dead} read, {stats.Dead} counted: {string.Join(", ", stats.DeadReasons.Select(reason => $"{reason.Key} {reason.Value}"))}");
        if (bounds.CountersExact)
        {
            long Total(string name) => stats.Totals.GetValueOrDefault(name);
            long final = Total("completed") + Total("died") + Total("cancelled") - Total("redriven");
            stage.Check(
                "the queue's counters are the oracle's",
                Total("completed") == account.Completed && Total("enqueued") >= account.Acknowledged && Total("enqueued") <= account.Acknowledged + account.Unknown && Total("cancelled") == bounds.Cancelled,
                $"enqueued {Total("enqueued")} (oracle {account.Acknowledged} and {account.Unknown} in doubt), completed {Total("completed")} (oracle {account.Completed}), died {Total("died")}, cancelled {Total("cancelled")}");
            stage.Check("each job is in one final state", final == Total("enqueued"), $"{final} ends of {Total("enqueued")}");
        }
    }

    /// <summary>No key, field or counter may stay of jobs that are gone.</summary>
    private static async Task FindLeaksAsync(Stage stage, PrivateRedis redis, QueueStats stats)
    {
        string prefix = $"{{slipway:q:{Stage.QueueName}}}:2:";
        RespValue keys = await redis.SendAsync(stage.Token, "KEYS", "*");
        string[] names = [.. keys.Items.Select(key => key.AsString())];
        string[] leaked = [.. names.Where(name => !name.StartsWith(prefix, StringComparison.Ordinal) || !MayStay.Contains(name[prefix.Length..]))];
        stage.Check("no key of a job is left", leaked.Length == 0, leaked.Length == 0 ? $"{names.Length} keys, none of {string.Join(' ', MustBeGone.Take(7))} ready:*" : string.Join(' ', leaked));
        RespValue meta = await redis.SendAsync(stage.Token, "HMGET", prefix + "meta", "live", "bytes");
        long[] counts = [.. meta.Items.Select(value => value.IsNull ? 0 : long.Parse(value.AsString(), CultureInfo.InvariantCulture))];
        stage.Check("the queue counts 0 jobs and 0 bytes", counts is [0, 0], $"live {counts[0]}, bytes {counts[1]}");
        stage.Check("nothing is leased", stats.Leased == 0, $"{stats.Leased}");
    }
}
