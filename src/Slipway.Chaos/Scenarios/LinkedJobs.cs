using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;
using Slipway.Queue;

namespace Slipway.Chaos.Scenarios;

/// <summary>F12, F20–F22: clocks, schedules, unique keys and batches.</summary>
internal static class LinkedJobs
{
    /// <summary>F12: the worker's clock is an hour off, and jumps while it works.</summary>
    public static async Task SkewedAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker honest = await stage.OpenAsync(redis.Url);
        var skewed = new SkewedTime();
        WorkerHost host = await stage.HostAsync(redis.Url, time: skewed);
        RedisBroker producer = await stage.OpenAsync(redis.Url, new BrokerOptions { Time = skewed });
        var worst = new List<double>();
        foreach (TimeSpan skew in (TimeSpan[])[TimeSpan.FromHours(1), TimeSpan.FromHours(-1), TimeSpan.Zero])
        {
            skewed.Skew = skew;
            JobDraft delayed = stage.Draft() with { Delay = TimeSpan.FromMilliseconds(500) };
            long from = Moments.Now;
            ulong id = JobWork.Read(delayed.Payload.Span).Id;
            // A long one, too, over the step: its lease is renewed by the server's clock.
            await stage.EnqueueAsync(producer, [stage.Draft(WorkKind.Wait, stage.LeaseMilliseconds * 1500), delayed]);
            await stage.UntilAsync(() => stage.HasRun(id), 60);
            worst.Add(Moments.Milliseconds(Moments.Now - from));
            await stage.EnqueueAsync(producer, [.. Enumerable.Range(0, 500).Select(_ => stage.Draft())]);
        }

        await stage.UntilAsync(async () => (await honest.StatsAsync(stage.Token)) is { Leased: 0, ReadyTotal: 0 }, 60);
        await stage.SettleAsync(redis, new Bounds());
        string delays = string.Join(", ", worst.Select(ms => $"{ms:0} ms"));
        stage.Check("a delay of 500 ms by the server's clock is not cut short", worst.TrueForAll(ms => ms >= 495), delays);
        stage.Aim("and is over within 900 ms", worst.TrueForAll(ms => ms < 900), delays);
        stage.Check("no lease was lost", stage.Stats!.Totals.GetValueOrDefault("lost") == 0, $"{stage.Stats.Totals.GetValueOrDefault("lost")} jobs over steps of +1 h, −2 h, +1 h");
        GC.KeepAlive(host);
    }

    /// <summary>F20: several schedulers, one of them killed at the firing second; one with a wrong clock; what was missed.</summary>
    public static async Task CronAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        int seconds = stage.Either(20, 5);
        JobDraft tick = stage.Draft();
        void Schedule(WorkQueue queue) => queue.Cron("each-second", "* * * * * *", tick);
        WorkerHost[] hosts =
        [
            await stage.HostAsync(redis.Url, more: Schedule),
            await stage.HostAsync(redis.Url, time: new SkewedTime { Skew = TimeSpan.FromHours(1) }, more: Schedule),
            await stage.HostAsync(redis.Url, more: Schedule),
        ];
        DateTimeOffset before = (await broker.StatsAsync(stage.Token)).ServerTime;
        await stage.PauseAsync(seconds / 2.0);
        // The first scheduler goes, as close to the firing as can be hit, without a word.
        int left = 1000 - (await broker.StatsAsync(stage.Token)).ServerTime.Millisecond;
        await stage.PauseAsync(left / 1000.0);
        Task stopping = hosts[0].DisposeAsync().AsTask();
        await stage.PauseAsync(seconds / 2.0);
        await stopping;
        await hosts[1].DisposeAsync();
        await hosts[2].DisposeAsync();
        DateTimeOffset after = (await broker.StatsAsync(stage.Token)).ServerTime;
        long fired = (await broker.StatsAsync(stage.Token)).Totals.GetValueOrDefault("enqueued");
        long slots = after.ToUnixTimeSeconds() - before.ToUnixTimeSeconds();
        stage.Check("each slot fired exactly once", Math.Abs(fired - slots) <= 1, $"{fired} firings in {slots} slots (±1 at the ends), three schedulers, one an hour ahead, one stopped at the firing second");

        // The same slot by two schedulers in the same moment, a hundred times.
        DateTimeOffset slot = DateTimeOffset.FromUnixTimeSeconds(2_000_000_000);
        RedisBroker other = await stage.OpenAsync(redis.Url);
        int twice = 0, never = 0;
        for (int i = 0; i < 100; i++)
        {
            bool[] won = await Task.WhenAll(broker.FireAsync("race", slot.AddSeconds(i), tick, stage.Token), other.FireAsync("race", slot.AddSeconds(i), tick, stage.Token));
            twice += won.All(one => one) ? 1 : 0;
            never += won.All(one => !one) ? 1 : 0;
        }

        stage.Check("of two schedulers that fire the same slot one succeeds", twice == 0 && never == 0, $"100 slots: {twice} twice, {never} never");
        stage.Check("a slot that was fired is not fired again", !await broker.FireAsync("race", slot.AddSeconds(50), tick, stage.Token), "slot 50 after slot 99");

        // Nobody was there for ten seconds: the policy decides.
        DateTimeOffset now = (await broker.StatsAsync(stage.Token)).ServerTime;
        foreach ((CatchUp policy, string name, int least, int most) in ((CatchUp, string, int, int)[])[(CatchUp.None, "missed-none", 0, 1), (CatchUp.Once, "missed-once", 1, 2)])
        {
            await broker.FireAsync(name, now.AddSeconds(-10 - now.Second), tick, stage.Token);
            long start = await FiredAsync();
            WorkerHost late = await stage.HostAsync(redis.Url, more: queue => queue.Cron(name, "* * * * *", tick, catchUp: policy));
            await stage.PauseAsync(1.5);
            await late.DisposeAsync();
            long caught = await FiredAsync() - start;
            stage.Check($"catch-up policy {policy}", caught >= least && caught <= most, $"{caught} firings for a missed minute (one more when a minute begins meanwhile)");
        }

        // The id is that of all ticks: one id, executed once per firing. So this queue is judged by its counters alone.
        await stage.HostAsync(redis.Url);
        await stage.UntilAsync(async () => (await broker.StatsAsync(stage.Token)) is { Leased: 0, ReadyTotal: 0 }, 30);
        QueueStats stats = await broker.StatsAsync(stage.Token);
        stage.Stats = stats;
        stage.Account = new Account { Acknowledged = (int)stats.Totals.GetValueOrDefault("enqueued"), Executions = (int)stage.Executions };
        stage.Check("every firing was executed once", stage.Executions == stats.Totals.GetValueOrDefault("enqueued"), $"{stage.Executions} runs of {stats.Totals.GetValueOrDefault("enqueued")} firings");
        stage.Note("Changes of daylight-saving time are tested by date, without waiting for one, in tests/Slipway.Queue.Tests.");

        async Task<long> FiredAsync() => (await broker.StatsAsync(stage.Token)).Totals.GetValueOrDefault("enqueued");
    }

    /// <summary>F21: who holds a unique key is killed.</summary>
    public static async Task UniqueAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        WorkerProcess victim = await stage.StartWorkerAsync(redis.Url, w => w with { LeaseMilliseconds = 2_000 });
        await victim.ReadyAsync(stage.Token);
        // 2 s each: on a loaded machine, too, they still run when they are looked at.
        JobDraft Holder(int i) => stage.Draft(WorkKind.Wait, 2_000_000) with { UniqueKey = $"key-{i}" };
        JobDraft[] holders = [.. Enumerable.Range(0, 10).Select(Holder)];
        IReadOnlyList<Enqueued> first = await stage.EnqueueAsync(broker, holders);
        await stage.UntilAsync(() => victim.Log.Count >= 10, 30);
        await victim.KillAsync(stage.Token);
        IReadOnlyList<Enqueued> whileDead = await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 10).Select(Holder)]);
        stage.Check(
            "the key is held while its holder's worker is dead", whileDead.Zip(first).All(pair => pair.First.Outcome is EnqueueOutcome.Duplicate && pair.First.Id == pair.Second.Id),
            $"{whileDead.Count(one => one.Outcome is EnqueueOutcome.Duplicate)} of 10 refused, naming the holder");
        WorkerProcess heir = await stage.StartWorkerAsync(redis.Url, w => w with { LeaseMilliseconds = 2_000 });
        await heir.ReadyAsync(stage.Token);
        await stage.UntilAsync(() => heir.Log.Count >= 10, 60);
        IReadOnlyList<Enqueued> atWork = await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 10).Select(Holder)]);
        stage.Check("and while it runs again", atWork.All(one => one.Outcome is EnqueueOutcome.Duplicate), $"{atWork.Count(one => one.Outcome is EnqueueOutcome.Duplicate)} of 10 refused");
        await stage.UntilAsync(async () => (await broker.StatsAsync(stage.Token)).Totals.GetValueOrDefault("completed") >= 10, 60);
        IReadOnlyList<Enqueued> after = await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 10).Select(Holder)]);
        stage.Check("it is free once the holder completed", after.All(one => one.Outcome is EnqueueOutcome.Added), $"{after.Count(one => one.Outcome is EnqueueOutcome.Added)} of 10 added");
        await stage.SettleAsync(redis, new Bounds { Duplicates = null, UnderWay = 10 });
        stage.Note("Refused enqueues count as refused: if one of them ran, it would be a ghost.");
    }

    /// <summary>F22: a batch whose workers are killed at random.</summary>
    public static async Task BatchAsync(Stage stage)
    {
        int children = stage.Either(10_000, 2_000);
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        JobDraft callback = stage.Draft();
        ulong callbackId = JobWork.Read(callback.Payload.Span).Id;
        stage.Tell(OfferKind.Offered, callbackId);
        Guid batch = await broker.OpenBatchAsync(callback, null, stage.Token);
        stage.Tell(OfferKind.Acknowledged, callbackId);
        await stage.StartWorkersAsync(2, redis.Url, w => w with { LeaseMilliseconds = 1_000 });
        JobDraft[] jobs = [.. Enumerable.Range(0, children).Select(i => (i % 100 == 0 ? stage.Draft(WorkKind.Throw) : stage.Draft(WorkKind.Wait, 2_000)) with { Batch = batch })];
        Task filling = Task.Run(async () =>
        {
            foreach (JobDraft[] some in jobs.Chunk(500))
            {
                await stage.EnqueueAsync(broker, some);
            }

            await broker.CloseBatchAsync(batch, stage.Token);
        });
        int kills = 0;
        do
        {
            await stage.PauseAsync(0.3 + (stage.Random.NextDouble() / 2));
            WorkerProcess[] living = [.. stage.Workers.Where(worker => !worker.Process.HasEnded)];
            await living[stage.Random.Next(living.Length)].KillAsync(stage.Token);
            kills++;
            await (await stage.StartWorkerAsync(redis.Url, w => w with { LeaseMilliseconds = 1_000 })).ReadyAsync(stage.Token);
        }
        while (kills < stage.Either(8, 3));

        await filling;
        Account account = await stage.SettleAsync(redis, new Bounds { Duplicates = null, UnderWay = (kills * 16) + 1, Dead = children / 100 });
        RunRecord[] runs = [.. stage.RunLogs.SelectMany(log => log.Runs)];
        RunRecord[] called = [.. runs.Where(run => run.Id == callbackId)];
        BatchStatus? status = await broker.FindBatchAsync(batch, stage.Token);
        stage.Check("the callback was enqueued once", called.Select(run => run.Token).Distinct().Count() == 1 && status is { CalledBack: true, Pending: 0 }, $"{called.Length} runs; {status}");
        long last = runs.Where(run => run.Id != callbackId).Max(run => run.End);
        stage.Check("after the last child had ended", called.Length > 0 && called[0].Start >= last, called.Length == 0 ? "never" : $"{Moments.Milliseconds(called[0].Start - last):0.0} ms after it");
        stage.Check("it counts the failed ones", status?.Failed == children / 100, $"{status?.Failed} of {children / 100}");
        stage.Note($"{kills} kills; {account.DuplicatesUnderWay} + {account.DuplicatesInWindow} duplicates.");
    }

    /// <summary>The system's clock, off by so much; timers go by the real one.</summary>
    private sealed class SkewedTime : TimeProvider
    {
        public TimeSpan Skew { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Skew;
    }
}
