using System.Globalization;
using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;

namespace Slipway.Chaos.Scenarios;

/// <summary>F26: minutes of load, with connections reset every 5 s and a worker killed every 15 s, and nothing may grow.</summary>
internal static class Soak
{
    /// <summary>The oracle keeps every id and every run: ten minutes of this are six million, about a gigabyte of it at the end.</summary>
    private const int Rate = 10_000;

    public static async Task RunAsync(Stage stage)
    {
        int seconds = stage.Options.SoakSeconds;
        PrivateRedis redis = await stage.StartRedisAsync();
        FaultProxy proxy = stage.StartProxy(redis);
        await stage.StartWorkersAsync(4, proxy.Url);
        await stage.StartProducerAsync(proxy.Url, p => p with { Rate = Rate, Kind = WorkKind.Wait, Microseconds = 2_000 });
        GuardedProcess survivor = stage.Workers[0].Process, producer = stage.Producers[0].Process;
        var memory = new List<(double At, long Worker, long Producer, long Redis)>();
        int kills = 0, resets = 0;
        long from = Moments.Now;
        double nextKill = 15, nextReset = 5, nextLook = seconds / 20.0;
        while (Moments.Seconds(Moments.Now - from) is var now && now < seconds)
        {
            if (now >= nextReset)
            {
                resets += proxy.Reset();
                nextReset += 5;
            }

            if (now >= nextKill)
            {
                WorkerProcess[] living = [.. stage.Workers.Skip(1).Where(worker => !worker.Process.HasEnded)];
                await living[stage.Random.Next(living.Length)].KillAsync(stage.Token);
                await stage.StartWorkerAsync(proxy.Url);
                kills++;
                nextKill += 15;
            }

            if (now >= nextLook)
            {
                memory.Add((now, survivor.PrivateBytes(), producer.PrivateBytes(), await UsedMemoryAsync(stage, redis)));
                stage.Say(string.Create(CultureInfo.InvariantCulture, $"{now:0} s: {stage.Executions:n0} runs, worker {Mib(memory[^1].Worker)}, producer {Mib(memory[^1].Producer)}, Redis {Mib(memory[^1].Redis)}"));
                nextLook += seconds / 20.0;
            }

            await stage.PauseAsync(0.1);
        }

        Account account = await stage.SettleAsync(redis, new Bounds { Duplicates = null, UnderWay = kills * 16 });
        // The first fifth warms up: code is compiled, heaps find their size.
        (double _, long worker, long _, long _) = Median(memory[(memory.Count / 5)..(memory.Count / 2)]);
        (double _, long workerEnd, long _, long _) = Median(memory[(memory.Count * 7 / 10)..]);
        (double _, _, long producerBefore, _) = Median(memory[(memory.Count / 5)..(memory.Count / 2)]);
        (double _, _, long producerEnd, _) = Median(memory[(memory.Count * 7 / 10)..]);
        Grew(stage, "the worker", worker, workerEnd);
        Grew(stage, "the producer", producerBefore, producerEnd);
        long drained = await UsedMemoryAsync(stage, redis);
        long early = memory[memory.Count / 5].Redis;
        stage.Check("Redis' memory after the drain is that of the start: at most 5 % and 256 KiB more", drained <= (early * 1.05) + (256 * 1024), $"{Mib(early)} early, {Mib(drained)} drained");
        stage.Note(string.Create(CultureInfo.InvariantCulture, $"{seconds} s at {Rate:n0} jobs/s, {kills} workers killed, {resets} connections reset; {account.DuplicatesUnderWay} + {account.DuplicatesInWindow} duplicates, window {account.Window.TotalMilliseconds:0.0} ms."));
    }

    private static void Grew(Stage stage, string who, long before, long after)
    {
        double change = 100.0 * (after - before) / before;
        // Only growth is a leak. Of short soaks little can be said: heaps still find their size.
        double most = stage.Options.SoakSeconds >= 300 ? 5 : 200;
        stage.Check(string.Create(CultureInfo.InvariantCulture, $"memory of {who} grows by at most {most:0} %"), change <= most, string.Create(CultureInfo.InvariantCulture, $"{Mib(before)} → {Mib(after)}, {change:+0.0;-0.0} % (medians, without mapped files)"));
    }

    private static (double At, long Worker, long Producer, long Redis) Median(List<(double At, long Worker, long Producer, long Redis)> some) => (
        some[0].At, some.Select(one => one.Worker).Order().ElementAt(some.Count / 2), some.Select(one => one.Producer).Order().ElementAt(some.Count / 2),
        some.Select(one => one.Redis).Order().ElementAt(some.Count / 2));

    private static async Task<long> UsedMemoryAsync(Stage stage, PrivateRedis redis)
    {
        string info = (await redis.SendAsync(stage.Token, "INFO", "memory")).AsString();
        return long.Parse(info.Split('\n').First(line => line.StartsWith("used_memory:", StringComparison.Ordinal)).Split(':')[1].Trim(), CultureInfo.InvariantCulture);
    }

    private static string Mib(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB");
}
