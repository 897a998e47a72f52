using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Scenarios;

/// <summary>F14–F19, F27, F28: entries that cannot be read, full memories, overflowing dead letters, herds, starvation, and administration.</summary>
internal static class LoadFaults
{
    private const string Prefix = $"{{slipway:q:{Stage.QueueName}}}:2:";

    /// <summary>F14: bytes that are no job, of a type that nobody knows, of a newer format.</summary>
    public static async Task UndecodableAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 100).Select(_ => stage.Draft())]);
        byte[] newer = [.. Enumerable.Repeat((byte)7, 60)];
        byte[] flags = [1, 0x80, 3, 0, 0, 1, 5, .. new byte[16], .. "chaos-and-more"u8];
        byte[] cut = [1, 1, 3, 0, 0, 1, 5, .. new byte[16], .. "chaos"u8, 200];
        byte[][] broken = ["garbage"u8.ToArray(), newer, flags, cut, [1], new byte[5_000]];
        foreach (byte[] entry in broken)
        {
            // As a foreign program might: in the line, and counted like a job.
            await redis.SendAsync(stage.Token, "RPUSH", Prefix + "ready:3", entry);
            await redis.SendAsync(stage.Token, "HINCRBY", Prefix + "meta", "live", 1);
            await redis.SendAsync(stage.Token, "HINCRBY", Prefix + "meta", "bytes", entry.Length);
            await redis.SendAsync(stage.Token, "HINCRBY", Prefix + "totals", "enqueued", 1);
        }

        await broker.EnqueueAsync([new JobDraft { Type = "nobody-knows-this", Payload = new byte[10] }], Durability.Server, stage.Token);
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 100).Select(_ => stage.Draft())]);
        await stage.HostAsync(redis.Url);
        bool parked = await stage.UntilAsync(async () => (await broker.StatsAsync(stage.Token)).Dead == broken.Length + 1, 60);
        IReadOnlyList<DeadLetter> dead = await broker.DeadLettersAsync(new DeadFilter(), null, 100, stage.Token);
        stage.Check("all are among the dead", parked, string.Join(", ", dead.GroupBy(letter => letter.Reason).Select(group => $"{group.Key} {group.Count()}")));
        stage.Check("the reason says why", dead.Count(letter => letter.Reason == "damaged") == broken.Length && dead.Count(letter => letter.Reason == "no-handler") == 1, string.Join("; ", dead.Select(letter => letter.Error)));
        await stage.UntilAsync(() => stage.Executions >= 200, 60);
        stage.Check("the jobs around them ran", stage.Executions == 200, $"{stage.Executions} of 200");
        long purged = await broker.PurgeDeadAsync(new DeadFilter(), null, stage.Token);
        stage.Check("they can be purged", purged == broken.Length + 1, $"{purged}");
        await stage.SettleAsync(redis, new Bounds { CountersExact = false });
    }

    /// <summary>F15: payloads of 1 MB, above the limit, and above what Redis takes.</summary>
    public static async Task GiantAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.None, "--proto-max-bulk-len", "8388608");
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        RedisBroker giant = await stage.OpenAsync(redis.Url);
        WorkerHost host = await stage.HostAsync(redis.Url);
        await stage.EnqueueAsync(giant, [stage.Draft(bytes: 1 << 20), stage.Draft(bytes: 1 << 20)]);
        Exception? tooLarge = await FailureAsync(() => stage.EnqueueAsync(giant, [stage.Draft(bytes: 64 << 20)]));
        stage.Check("64 MB are refused before anything is sent", tooLarge is ArgumentException, $"{tooLarge?.GetType().Name}: {tooLarge?.Message}");
        Exception? aboveBulk = await FailureAsync(() => stage.EnqueueAsync(giant, [stage.Draft(bytes: 12 << 20)]));
        stage.Check("12 MB above proto-max-bulk-len (8 MiB) end in a typed error", aboveBulk is RespException or ArgumentException, $"{aboveBulk?.GetType().Name}: {aboveBulk?.Message}");
        stage.Check("the connection works again", (await stage.EnqueueAsync(giant, [stage.Draft()])).Count == 1, "an enqueue behind it was acknowledged");

        // What the others feel while megabytes pass.
        using var enough = new CancellationTokenSource();
        Task flood = Task.Run(async () =>
        {
            while (!enough.IsCancellationRequested)
            {
                await stage.EnqueueAsync(giant, [stage.Draft(bytes: 1 << 20)]);
                await stage.PauseAsync(0.05);
            }
        });
        var waits = new List<double>();
        for (int i = 0; i < stage.Either(2_000, 300); i++)
        {
            long from = Moments.Now;
            await stage.EnqueueAsync(broker, [stage.Draft()]);
            waits.Add(Moments.Milliseconds(Moments.Now - from));
        }

        await enough.CancelAsync();
        await flood;
        waits.Sort();
        double p99 = waits[(int)(waits.Count * 0.99)];
        stage.Aim("others' p99 below 50 ms", p99 < 50, $"p50 {waits[waits.Count / 2]:0.0} ms, p99 {p99:0.0} ms while up to twenty jobs of 1 MB pass per second");
        await stage.SettleAsync(redis, new Bounds());
        GC.KeepAlive(host);
    }

    /// <summary>F16: Redis is full.</summary>
    public static async Task FullAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 20_000).Select(_ => stage.Draft(bytes: 500))]);
        await redis.SendAsync(stage.Token, "CONFIG", "SET", "maxmemory", "8mb");
        long from = Moments.Now;
        Exception? refused = await FailureAsync(() => stage.EnqueueAsync(broker, [stage.Draft(bytes: 500)]));
        double took = Moments.Milliseconds(Moments.Now - from);
        stage.Check("an enqueue fails with a typed error", refused is RespServerException { Code: "OOM", IsTransient: true }, $"{refused?.Message}");
        stage.Aim("at once", took < 500, $"after {took:0} ms");
        await stage.HostAsync(redis.Url);
        bool drained = await stage.UntilAsync(() => stage.Executions >= 20_000, 60);
        stage.Check("fetches and acknowledgements still work: the queue drains itself out", drained, $"{stage.Executions} of 20,000 ran while Redis was over its limit");
        bool accepted = await stage.UntilAsync(async () => await FailureAsync(() => stage.EnqueueAsync(broker, [stage.Draft()])) is null, 60);
        stage.Check("then it takes jobs again", accepted, "without anybody's doing");
        await stage.SettleAsync(redis, new Bounds());
    }

    /// <summary>F17: Redis may evict.</summary>
    public static async Task EvictingAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        await redis.SendAsync(stage.Token, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
        Exception? refused = await FailureAsync(() => stage.OpenAsync(redis.Url));
        stage.Check("a queue does not open on a Redis that may evict jobs", refused is EvictionException, $"{refused?.GetType().Name}: {refused?.Message}");
        RedisBroker allowed = await stage.OpenAsync(redis.Url, new BrokerOptions { AllowEviction = true });
        stage.Check("unless it is allowed to", (await stage.EnqueueAsync(allowed, [stage.Draft()])).Count == 1, "AllowEviction");
        await redis.SendAsync(stage.Token, "CONFIG", "SET", "maxmemory-policy", "noeviction");
        await stage.HostAsync(redis.Url);
        await stage.SettleAsync(redis, new Bounds());
        stage.Note("/readyz of the server looks at the same policy each time it is asked (its own tests).");
    }

    /// <summary>F18: more dead letters than are kept.</summary>
    public static async Task DeadOverflowAsync(Stage stage)
    {
        int poison = stage.Either(5_000, 4_000);
        foreach (DeadOverflow policy in (DeadOverflow[])[DeadOverflow.DropOldest, DeadOverflow.Pause])
        {
            var part = new Stage(stage.Options, stage.Options.Seed, stage.Say, stage.Token);
            await using (part)
            {
                PrivateRedis redis = await part.StartRedisAsync();
                RedisBroker broker = await part.OpenAsync(redis.Url, new BrokerOptions { Initial = new QueueSettings { MaxDead = 1_000, DeadOverflow = policy } });
                await part.EnqueueAsync(broker, [.. Enumerable.Range(0, poison).Select(_ => part.Draft(WorkKind.Throw))]);
                await part.HostAsync(redis.Url, w => w with { Attempts = 1 });
                if (policy is DeadOverflow.DropOldest)
                {
                    await part.UntilAsync(async () => (await broker.StatsAsync(part.Token)).Totals.GetValueOrDefault("died") == poison, 60);
                    QueueStats stats = await broker.StatsAsync(part.Token);
                    part.Check("the newest 1,000 are kept and the others counted", stats.Dead == 1_000 && stats.Totals.GetValueOrDefault("dropped") == poison - 1_000, $"{stats.Dead} kept, {stats.Totals.GetValueOrDefault("dropped")} dropped of {poison}");
                    part.Stats = stats;
                }
                else
                {
                    bool halted = await part.UntilAsync(async () => (await broker.StatsAsync(part.Token)).PausedWhy == "dead letters", 30);
                    await part.UntilAsync(async () => (await broker.StatsAsync(part.Token)).Leased == 0, 30);
                    QueueStats stats = await broker.StatsAsync(part.Token);
                    long beyond = stats.Dead - 1_000;
                    part.Check("the queue stops handing out and says why", halted && stats.ReadyTotal + stats.Delayed > 0, $"paused by {stats.PausedWhy}, {stats.ReadyTotal} wait");
                    // A worker takes at most 1,000 ahead (MaxPrefetch), and has one more fetch on its way.
                    part.Check("beyond the bound only what was handed out before", beyond is >= 0 and <= 2_000 + 16, $"{stats.Dead} dead letters, {beyond} beyond the bound");
                    // Nothing silent: somebody looks, makes room, and it goes on.
                    for (long purged = stats.Dead; (await broker.StatsAsync(part.Token)) is { } now && now.Totals.GetValueOrDefault("died") < poison;)
                    {
                        purged += await broker.PurgeDeadAsync(new DeadFilter(), null, part.Token);
                        await part.PauseAsync(0.05);
                    }

                    part.Stats = await broker.StatsAsync(part.Token);
                    part.Check("with room it goes on to the end", part.Stats is { ReadyTotal: 0, Leased: 0 } && part.Stats.Totals.GetValueOrDefault("died") == poison, $"{part.Stats.Totals.GetValueOrDefault("died")} died");
                }

                part.Check("every run is one failure", part.Executions == poison, $"{part.Executions} runs of {poison}");
                part.Account = new Account { Acknowledged = poison, Executions = (int)part.Executions, Dead = poison };
                stage.Take(part, policy.ToString());
            }
        }
    }

    /// <summary>F19: a thousand delayed jobs due in the same millisecond; a hundred thousand due after an outage.</summary>
    public static async Task HerdAsync(Stage stage)
    {
        int many = stage.Either(100_000, 20_000);
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.None, "--slowlog-log-slower-than", "5000", "--slowlog-max-len", "1000");
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        DateTimeOffset due = (await broker.StatsAsync(stage.Token)).ServerTime.AddSeconds(2);
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 1_000).Select(_ => stage.Draft() with { At = due })]);
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, many).Select(_ => stage.Draft() with { Delay = TimeSpan.FromMilliseconds(1) })]);
        await redis.SendAsync(stage.Token, "SLOWLOG", "RESET");
        await stage.HostAsync(redis.Url);
        // Ready jobs come in meanwhile: they are not to wait behind the herd.
        var waits = new List<double>();
        for (int i = 0; i < 50; i++)
        {
            JobDraft job = stage.Draft() with { Priority = JobPriority.High };
            ulong id = JobWork.Read(job.Payload.Span).Id;
            long from = Moments.Now;
            await stage.EnqueueAsync(broker, [job]);
            await stage.UntilAsync(() => stage.HasRun(id), 60);
            waits.Add(Moments.Milliseconds(Moments.Now - from));
        }

        waits.Sort();
        bool ran = await stage.UntilAsync(() => stage.Executions >= many + 1_050, 60);
        stage.Check("all ran", ran, $"{stage.Executions} of {many + 1_050}");
        stage.Aim("ready jobs of a higher level pass the herd", waits[^2] < 500, $"p50 {waits[25]:0.0} ms, worst but one {waits[^2]:0.0} ms");
        RespValue slow = await redis.SendAsync(stage.Token, "SLOWLOG", "GET", 100);
        // One of a thousand may be one that the kernel took the processor away from.
        stage.Aim("no script over 5 ms", slow.Items.Count <= 2, $"{slow.Items.Count} slow commands{(slow.Items.Count > 0 ? $", the slowest {slow.Items.Max(one => one.Items[2].AsInteger()) / 1000.0:0.0} ms" : "")}; at most 100 are promoted per call");
        await stage.SettleAsync(redis, new Bounds());
    }

    /// <summary>F27: level 0 is never empty.</summary>
    public static async Task StarvedAsync(Stage stage)
    {
        double seconds = stage.Either(60.0, 4.0);
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url, new BrokerOptions { Initial = new QueueSettings { MaxJobs = 20_000 } });
        // Jobs of 1 ms, sixteen at a time: below what the producer brings. It waits for room, so level 0 is always full.
        var low = new HashSet<ulong>();
        JobDraft[] lowest = [.. Enumerable.Range(0, 10_000).Select(_ => stage.Draft(WorkKind.Wait, 1_000) with { Priority = JobPriority.Lowest })];
        low.UnionWith(lowest.Select(job => JobWork.Read(job.Payload.Span).Id));
        await stage.EnqueueAsync(broker, lowest);
        await stage.StartProducerAsync(redis.Url, p => p with { Level = 0, Kind = WorkKind.Wait, Microseconds = 1_000 });
        await stage.PauseAsync(1);
        await stage.StartWorkersAsync(1, redis.Url);
        long from = Moments.Now;
        await stage.PauseAsync(seconds);
        QueueStats stats = await broker.StatsAsync(stage.Token);
        stage.Check("level 0 was never empty", stats.Ready[0] > 1_000, $"{stats.Ready[0]} wait at the end");
        RunRecord[] runs = [.. stage.RunLogs.SelectMany(log => log.Runs).Where(run => run.Start >= from)];
        int lows = runs.Count(run => low.Contains(run.Id));
        double share = 100.0 * lows / Math.Max(1, runs.Length);
        stage.Check("the lowest level has its share of at least 5 %", share >= 5 || lows == 10_000, $"{share:0.0} % of {runs.Length:n0} runs");
        long[] starts = [.. runs.Where(run => low.Contains(run.Id)).Select(run => run.Start).Order()];
        double gap = starts.Length < 2 ? double.PositiveInfinity : starts.Zip(starts.Skip(1)).Max(pair => Moments.Milliseconds(pair.Second - pair.First));
        stage.Aim("and never waits longer than 1 s for its turn", gap < 1_000 || lows == 10_000, $"{gap:0} ms at most between two of its runs");
        await stage.SettleAsync(redis, new Bounds());
    }

    /// <summary>F28: people look and act while the queue is at full load.</summary>
    public static async Task AdministeredAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.None, "--slowlog-log-slower-than", "1000", "--slowlog-max-len", "1000");
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        await stage.StartWorkersAsync(2, redis.Url);
        // 0.5 ms each, so that a full block is not a second's work that was handed out before the pause.
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.SteadyRate / 2, Kind = WorkKind.Wait, Microseconds = 500 });
        await stage.PauseAsync(2);
        double slowestPause = 0;
        for (int i = 0; i < stage.Either(10, 3); i++)
        {
            await broker.ConfigureAsync(settings => settings with { Paused = true }, stage.Token);
            long paused = Moments.Now;
            await stage.PauseAsync(0.5);
            long last = stage.RunLogs.SelectMany(log => log.Runs).Max(run => run.Start);
            slowestPause = Math.Max(slowestPause, Moments.Milliseconds(last - paused));
            await broker.ConfigureAsync(settings => settings with { Paused = false }, stage.Token);
            long runs = stage.Executions;
            bool resumed = await stage.UntilAsync(() => stage.Executions > runs, 30);
            stage.Check("resumed", resumed, "work goes on");
            await stage.PauseAsync(0.3);
        }

        stage.Aim("a pause takes effect within 100 ms", slowestPause <= 100, $"the last start was {slowestPause:0.0} ms after the answer, at most");
        await redis.SendAsync(stage.Token, "SLOWLOG", "RESET");
        var peeks = new List<double>();
        for (int i = 0; i < 200; i++)
        {
            long from = Moments.Now;
            await broker.PeekAsync("ready", 100, stage.Token);
            peeks.Add(Moments.Milliseconds(Moments.Now - from));
        }

        RespValue slow = await redis.SendAsync(stage.Token, "SLOWLOG", "GET", 100);
        int slowPeeks = slow.Items.Count(one => one.Items[3].Items[0].AsString() is "LRANGE" or "ZRANGE");
        stage.Aim("a peek never blocks Redis over 1 ms", slowPeeks == 0, $"{slowPeeks} of 1,600 commands of 200 peeks; p99 {peeks.Order().ElementAt(198):0.0} ms for the caller");

        int letters = stage.Either(1_000_000, 100_000);
        await redis.SendAsync(
            stage.Token, "EVAL", "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'e', ARGV[2], 'r', 'made', 'm', 'for the test') end redis.call('HINCRBY', KEYS[2], 'made', ARGV[1]) return 1", 2,
            Prefix + "dead", Prefix + "reasons", letters, new byte[60]);
        await redis.SendAsync(stage.Token, "SLOWLOG", "RESET");
        long begun = Moments.Now;
        long purged = await broker.PurgeDeadAsync(new DeadFilter(), null, stage.Token);
        double took = Moments.Milliseconds(Moments.Now - begun);
        slow = await redis.SendAsync(stage.Token, "SLOWLOG", "GET", 100);
        double blocked = slow.Items.Where(one => one.Items[3].Items[0].AsString() == "EVALSHA").Select(one => one.Items[2].AsInteger() / 1000.0).DefaultIfEmpty().Max();
        stage.Check($"a purge of {letters:n0} dead letters takes all", purged == letters, $"{purged:n0}");
        stage.Aim("it frees them behind the scenes", blocked < 10, $"{purged:n0} in {took:0.0} ms, longest script {blocked:0.0} ms (UNLINK)");
        await stage.SettleAsync(redis, new Bounds());
    }

    private static async Task<Exception?> FailureAsync(Func<Task> call)
    {
        try
        {
            await call();
            return null;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            return e;
        }
    }
}
