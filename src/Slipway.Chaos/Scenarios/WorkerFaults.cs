using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;
using Slipway.Queue;

namespace Slipway.Chaos.Scenarios;

/// <summary>F1, F2, F3, F13 and the million: what happens to processes of workers.</summary>
internal static class WorkerFaults
{
    /// <summary>F1: the fault that everybody has, ten times.</summary>
    public static async Task KilledAsync(Stage stage)
    {
        int kills = stage.Either(10, 2);
        double every = stage.Either(5.0, 1.5);
        PrivateRedis redis = await stage.StartRedisAsync();
        await stage.StartWorkersAsync(4, redis.Url);
        // Jobs of 2 ms, so that each worker has about ten under way when it is killed.
        await stage.StartProducerAsync(redis.Url, p => p with { Kind = WorkKind.Wait, Microseconds = 2_000 });
        await stage.PauseAsync(every);
        long from = Moments.Now;
        var cuts = new List<long>();
        for (int i = 0; i < kills; i++)
        {
            WorkerProcess victim = stage.Workers[stage.Random.Next(stage.Workers.Count)];
            while (victim.Process.HasEnded)
            {
                victim = stage.Workers[stage.Random.Next(stage.Workers.Count)];
            }

            cuts.Add(await victim.KillAsync(stage.Token));
            await stage.StartWorkerAsync(redis.Url);
            await stage.PauseAsync(every);
        }

        int concurrency = stage.Workers[0].Settings.Concurrency;
        Account account = await stage.SettleAsync(redis, new Bounds { Duplicates = null, UnderWay = kills * concurrency });
        CheckRestart(stage, account);
        CheckRecovery(stage, account, cuts, from);
    }

    /// <summary>F2: a garbage collection, or a machine, that stands still for longer than any lease.</summary>
    public static async Task StoppedAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        // Each alone can carry the load: what is measured is the recovery of jobs, not the missing half of the slots.
        await stage.StartWorkersAsync(2, redis.Url, w => w with { Concurrency = 64 });
        // Jobs of 2 ms: some are under way, and some taken ahead, when the world stops.
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.Either(5_000, 2_000), Kind = WorkKind.Wait, Microseconds = 2_000 });
        await stage.PauseAsync(2);
        // One that has jobs under way at this moment: of two half idle workers the quicker one has most.
        WorkerProcess victim = stage.Workers[0];
        await stage.UntilAsync(
            () =>
            {
                victim = stage.Workers.MaxBy(worker => worker.UnderWay)!;
                return victim.UnderWay >= 5;
            },
            5);
        long before = Moments.Now;
        long cut = victim.Freeze();
        int caught = victim.UnderWay;
        await stage.PauseAsync(stage.Either(60, 5));
        long woken = Moments.Now;
        victim.Thaw();
        await stage.PauseAsync(3);
        // Those under way, and those that it took ahead (5 ms of work): it learns of its loss with its first call, and may have begun them by then.
        int held = victim.Settings.Concurrency + (victim.Settings.Concurrency * 5 / 2);
        Account account = await stage.SettleAsync(redis, new Bounds { Duplicates = null, UnderWay = held });
        stage.Check("the woken worker's ends were refused and counted", account.Duplicates == 0 || stage.Stats!.Totals.GetValueOrDefault("late") + stage.Stats.Totals.GetValueOrDefault("lost") > 0, $"late {stage.Stats!.Totals.GetValueOrDefault("late")}, leases lost of {stage.Stats.Totals.GetValueOrDefault("lost")} jobs");
        stage.Check("jobs were under way when it was stopped, and others ran them", caught == 0 || account.Duplicates > 0, $"{caught} under way, {account.Duplicates} duplicates");
        int again = victim.Runs.Runs.Count(run => run.Start > woken);
        stage.Check("the woken worker works again", again > 0, $"{again} runs after it woke");
        CheckRecovery(stage, account, [cut], before);
        CheckRestart(stage, account);
    }

    /// <summary>F3: a deployment.</summary>
    public static async Task TerminatedAsync(Stage stage)
    {
        int times = stage.Either(8, 3);
        PrivateRedis redis = await stage.StartRedisAsync();
        // A line slower than the handlers: mostly a fetch is under way when the last of them ends, and what it brings has to be given back.
        FaultProxy line = stage.StartProxy(redis);
        line.Latency = TimeSpan.FromMilliseconds(20);
        WorkerSettings With(WorkerSettings plain) => plain with { LeaseMilliseconds = Stage.LongLeaseMilliseconds };
        await stage.StartWorkersAsync(2, line.Url, With);
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.Either(5_000, 2_000), Kind = WorkKind.Wait, Microseconds = 5_000 });
        await stage.PauseAsync(1);
        double longest = 0;
        for (int i = 0; i < times; i++)
        {
            WorkerProcess oldest = stage.Workers.First(worker => !worker.Process.HasEnded);
            await (await stage.StartWorkerAsync(line.Url, With)).ReadyAsync(stage.Token);
            long from = Moments.Now;
            int code = await oldest.TerminateAsync(stage.Token);
            longest = Math.Max(longest, Moments.Seconds(Moments.Now - from));
            stage.Check($"{oldest.Name} exits with 0", code == 0, $"{code}");
            await stage.PauseAsync(0.5);
        }

        await stage.SettleAsync(redis, new Bounds());
        stage.Aim("stops within the grace", longest < 10, $"{longest:0.00} s at most");
        stage.Check("no lease was left to run out", stage.Stats!.Totals.GetValueOrDefault("lost") == 0, $"{stage.Stats.Totals.GetValueOrDefault("lost")} jobs");
        stage.Note($"{stage.Stats.Totals.GetValueOrDefault("released")} unstarted jobs were given back.");
    }

    /// <summary>F13: jobs that do harm, each among healthy ones.</summary>
    public static async Task PoisonedAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        WorkerSettings With(WorkerSettings plain) => plain with { LeaseMilliseconds = 1_000, TimeoutMilliseconds = 1_000, CancelGraceMilliseconds = 500, Attempts = 2 };
        // No core files of the processes that die here.
        var quiet = new Dictionary<string, string> { ["DOTNET_DbgEnableMiniDump"] = "0" };
        WorkKind[] poison = [WorkKind.Throw, WorkKind.Hang, WorkKind.OverflowStack, WorkKind.Exit, WorkKind.Die];
        int deaths = 0;
        await (await stage.StartWorkerAsync(redis.Url, With, quiet)).ReadyAsync(stage.Token);
        for (int i = 0; i < poison.Length; i++)
        {
            // One after the other: which of several that are at work together is to blame, nobody can know.
            await stage.EnqueueAsync(broker, [
                .. Enumerable.Range(0, 40).Select(_ => stage.Draft(WorkKind.Wait, 1_000)),
                stage.Draft(poison[i], microseconds: 20_000_000),
                .. Enumerable.Range(0, 40).Select(_ => stage.Draft(WorkKind.Wait, 1_000)),
            ]);
            bool done = await stage.UntilAsync(
                async () =>
                {
                    if (stage.Workers[^1].Process.HasEnded)
                    {
                        deaths++;
                        stage.Workers[^1].Died();
                        await (await stage.StartWorkerAsync(redis.Url, With, quiet)).ReadyAsync(stage.Token);
                    }

                    return await broker.StatsAsync(stage.Token) is { Leased: 0, ReadyTotal: 0, Delayed: 0 } stats && stats.Dead > i;
                },
                60);
            stage.Check($"{poison[i]} is among the dead", done, $"after {deaths} deaths of workers in all");
        }

        Account account = await stage.SettleAsync(redis, new Bounds { Duplicates = null, Dead = poison.Length, UnderWay = 9 * (16 + 3), Window = TimeSpan.FromSeconds(1) });
        IReadOnlyList<DeadLetter> dead = await broker.DeadLettersAsync(new DeadFilter(), null, 100, stage.Token);
        foreach (WorkKind kind in poison)
        {
            string expected = kind switch { WorkKind.Throw => nameof(InvalidOperationException), WorkKind.Hang => "timeout", _ => "crash-loop" };
            DeadLetter[] those = [.. dead.Where(letter => JobWork.Read(letter.Job.Payload.Span).Kind == kind)];
            stage.Check($"{kind} died of {expected}", those is [var one] && one.Reason == expected, those.Length == 0 ? "not among the dead" : those[0].Reason);
        }

        stage.Check("three lost leases are enough", deaths == 9, $"3 poisons killed {deaths} workers");
        stage.Check("all neighbours completed", account.Completed == poison.Length * 80, $"{account.Completed} of {poison.Length * 80}");
        stage.Note("A worker is restarted when this process sees that it died, some milliseconds later: its window is measured up to then. Out of memory is played by a SIGKILL to itself, which is what the kernel does.");
    }

    /// <summary>The acceptance test of the issue: a million jobs, four workers, one killed every 5 s.</summary>
    public static async Task MillionAsync(Stage stage)
    {
        double every = 5;
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.Always);
        WorkerSettings With(WorkerSettings plain) => plain with { Concurrency = 32 };
        await stage.StartWorkersAsync(4, redis.Url, With);
        // Each waits for 2 ms, as handlers that call somebody do: without it, a million is gone before the third kill.
        ProducerProcess producer = await stage.StartProducerAsync(redis.Url, p => p with { Rate = 0, Total = stage.Options.Jobs, Kind = WorkKind.Wait, Microseconds = 2_000, Block = 500, Lanes = 8 });
        long from = Moments.Now;
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        int kills = 0;
        while (true)
        {
            await stage.PauseAsync(every);
            QueueStats stats = await broker.StatsAsync(stage.Token);
            stage.Say($"{stats.Totals.GetValueOrDefault("completed"):n0} completed, {stats.ReadyTotal:n0} ready, {kills} kills");
            if (producer.Process.HasEnded && stats.ReadyTotal + stats.Leased + stats.Delayed == 0)
            {
                break;
            }

            WorkerProcess[] living = [.. stage.Workers.Where(worker => !worker.Process.HasEnded)];
            await living[kills % living.Length].KillAsync(stage.Token);
            kills++;
            await stage.StartWorkerAsync(redis.Url, With);
        }

        Account account = await stage.SettleAsync(redis, new Bounds { Duplicates = null, UnderWay = kills * 32 });
        stage.Check("every job was acknowledged", account.Acknowledged == stage.Options.Jobs && account.Unknown == 0, $"{account.Acknowledged:n0} of {stage.Options.Jobs:n0}");
        stage.Check("every job completed", account.Completed == stage.Options.Jobs, $"{account.Completed:n0}");
        stage.Note($"{kills} kills; {account.Completed / Moments.Seconds(account.Ends[^1] - from):n0} jobs/s of 2 ms each, AOF always; {account.DuplicatesUnderWay} duplicates were under way at a kill, {account.DuplicatesInWindow} had ended up to {account.Window.TotalMilliseconds:0.0} ms before.");
    }

    /// <summary>The slowest recovery of the throughput after each of the cuts.</summary>
    public static void CheckRecovery(Stage stage, Account account, IReadOnlyList<long> cuts, long loadFrom, double most = 10)
    {
        long second = Moments.Ticks(TimeSpan.FromSeconds(1));
        double before = account.Rate(loadFrom - second, loadFrom);
        TimeSpan slowest = TimeSpan.Zero;
        bool all = before > 0;
        foreach (long cut in cuts)
        {
            TimeSpan? recovery = account.Recovery(cut, before);
            all &= recovery is not null;
            slowest = recovery > slowest ? recovery.Value : slowest;
        }

        stage.Recovery = slowest;
        stage.Aim($"90 % of the throughput again within {most:0} s", all && slowest.TotalSeconds <= most, $"{slowest.TotalSeconds:0.00} s at most; {before:n0} jobs/s before");
    }

    private static void CheckRestart(Stage stage, Account account)
    {
        double most = (stage.LeaseMilliseconds / 1000.0) + 2;
        stage.Aim(
            $"lost jobs start again within lease + 2 s", account.LongestRestart.TotalSeconds <= most,
            account.Duplicates == 0 ? "no job ran twice" : $"{account.LongestRestart.TotalSeconds:0.0} s at most, lease {stage.LeaseMilliseconds / 1000.0:0} s");
        stage.Note($"{account.DuplicatesUnderWay} duplicates were under way at a kill or stop, {account.DuplicatesInWindow} had ended up to {account.Window.TotalMilliseconds:0.0} ms before.");
    }
}
