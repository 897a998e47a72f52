using System.Globalization;
using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Scenarios;

/// <summary>F4–F8: what happens to Redis as a process, and to its files.</summary>
internal static class RedisFaults
{
    /// <summary>What <c>appendfsync everysec</c> may lose of acknowledged writes: the write to the file waits for a running fsync for up to 2 s.</summary>
    private static readonly TimeSpan EverySecondWindow = TimeSpan.FromSeconds(2);

    /// <summary>F4: Redis stands still for longer than any lease.</summary>
    public static async Task FrozenAsync(Stage stage)
    {
        double seconds = stage.Either(30.0, 6.0);
        PrivateRedis redis = await stage.StartRedisAsync();
        await stage.StartWorkersAsync(2, redis.Url);
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.Either(5_000, 2_000), Kind = WorkKind.Wait, Microseconds = 2_000, CommandTimeoutMilliseconds = 3_000 });
        await stage.PauseAsync(3);
        long from = Moments.Now;
        redis.Process.Send(Signal.Stop);
        // The handlers under way end first.
        await stage.PauseAsync(1);
        TimeSpan[] before = [.. stage.Workers.Select(worker => worker.Process.ProcessorTime()), stage.Producers[0].Process.ProcessorTime()];
        int offered = stage.Producers[0].Log.Count;
        await stage.PauseAsync(seconds - 1);
        TimeSpan[] after = [.. stage.Workers.Select(worker => worker.Process.ProcessorTime()), stage.Producers[0].Process.ProcessorTime()];
        double[] shares = [.. before.Zip(after).Select(pair => (pair.Second - pair.First).TotalSeconds / (seconds - 1) * 100)];
        int asked = stage.Producers[0].Log.Count - offered;
        redis.Process.Send(Signal.Continue);
        long thawed = Moments.Now;
        await stage.PauseAsync(5);
        stage.Aim("below 5 % of a processor while Redis stands still", shares.Max() < 5, string.Join(", ", shares.Select(share => share.ToString("0.0", CultureInfo.InvariantCulture) + " %")));
        stage.Check("no process ended", stage.Workers.All(worker => !worker.Process.HasEnded) && !stage.Producers[0].Process.HasEnded, "2 workers and a producer");
        stage.Check("the producer sees timeouts, it does not hang", seconds < 5 || asked > 0, $"{asked} offers and refusals during the outage, command timeout 3 s");
        // Handlers went on; their ends were told when Redis went on. Nobody was killed.
        Account account = await stage.SettleAsync(redis, new Bounds());
        WorkerFaults.CheckRecovery(stage, account, [thawed], from, most: 3);
        stage.Check("leases that ran out meanwhile had their grace", stage.Stats!.Totals.GetValueOrDefault("lost") == 0, $"leases of {stage.Stats.Totals.GetValueOrDefault("lost")} jobs were taken away");
        stage.Note($"{account.Unknown} enqueues had no answer within 3 s; those that ran were executed once like all others.");
    }

    /// <summary>F5: <c>systemctl restart redis</c>.</summary>
    public static async Task RestartedAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.EverySecond);
        await stage.StartWorkersAsync(2, redis.Url, w => w with { LeaseMilliseconds = Stage.LongLeaseMilliseconds });
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.Either(5_000, 2_000), Kind = WorkKind.Wait, Microseconds = 2_000 });
        await stage.PauseAsync(2);
        long from = Moments.Now;
        var ups = new List<long>();
        for (int i = 0; i < stage.Either(5, 2); i++)
        {
            int code = await redis.TerminateAsync(stage.Token);
            stage.Check("Redis stops in order", code == 0, $"{code}");
            await stage.PauseAsync(0.3);
            await redis.RestartAsync(stage.Token);
            ups.Add(Moments.Now);
            await stage.PauseAsync(stage.Either(3.0, 1.5));
        }

        Account account = await stage.SettleAsync(redis, new Bounds());
        WorkerFaults.CheckRecovery(stage, account, ups, from);
    }

    /// <summary>F6: Redis is killed again and again, with each appendfsync.</summary>
    public static Task KilledAlwaysAsync(Stage stage) => KilledAsync(stage, AppendMode.Always);

    public static Task KilledEverySecondAsync(Stage stage) => KilledAsync(stage, AppendMode.EverySecond);

    /// <summary>F6 without any append-only file: everything in Redis is gone, and the two sides have to go on from nothing.</summary>
    public static async Task KilledWithoutFileAsync(Stage stage)
    {
        int kills = stage.Either(20, 3);
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.None);
        await stage.StartWorkersAsync(2, redis.Url);
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.Either(5_000, 2_000) });
        await stage.PauseAsync(2);
        long from = Moments.Now;
        var ups = new List<long>();
        for (int i = 0; i < kills; i++)
        {
            await stage.PauseAsync(1.2 + stage.Random.NextDouble());
            await redis.KillAsync(stage.Token);
            await redis.RestartAsync(stage.Token);
            ups.Add(Moments.Now);
        }

        await stage.PauseAsync(2);
        // Nothing was promised but memory: what was there is lost. What counts is that nothing stands still, and no ghost appears.
        Account account = await stage.SettleAsync(redis, new Bounds { CountersExact = false, MayBeLost = _ => true, Duplicates = null, UnderWay = 0 });
        WorkerFaults.CheckRecovery(stage, account, ups[..^1], from);
        stage.Note($"Without an append-only file nothing is promised over a restart of Redis: {account.Lost.Count} of {account.Acknowledged:n0} acknowledged jobs went with {kills} kills.");
    }

    /// <summary>F7: the power goes, and what was not synced is not on the disk.</summary>
    public static async Task PowerLossAsync(Stage stage)
    {
        foreach (AppendMode mode in (AppendMode[])[AppendMode.Always, AppendMode.EverySecond])
        {
            await LosePowerAsync(stage, mode);
        }
    }

    /// <summary>F8: the last entry of the append-only file is cut off in the middle.</summary>
    public static async Task CutTailAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.Always);
        RedisBroker broker = await stage.OpenAsync(redis.Url, with: options => options with { CommandTimeout = TimeSpan.FromSeconds(5) });
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 5_000).Select(_ => stage.Draft())]);
        // Some are leased, so that blocks and leases are in the file; the last write is a block of jobs.
        await broker.FetchAsync(new FetchRequest(300, TimeSpan.FromMilliseconds(1_000), []), stage.Token);
        JobDraft[] last = [.. Enumerable.Range(0, 100).Select(_ => stage.Draft())];
        await stage.EnqueueAsync(broker, last);
        var lastIds = last.Select(job => JobWork.Read(job.Payload.Span).Id).ToHashSet();
        await redis.KillAsync(stage.Token);
        string file = Directory.EnumerateFiles(redis.AppendFolder, "*.incr.aof").Order().Last();
        using (var handle = new FileStream(file, FileMode.Open))
        {
            handle.SetLength(handle.Length - 7);
        }

        await redis.RestartAsync(stage.Token);
        await FindOrphansAsync(stage, redis, "after the restart");
        await stage.HostAsync(redis.Url);
        Account account = await stage.SettleAsync(redis, new Bounds { CountersExact = false, MayBeLost = lastIds.Contains, Ended = new HashSet<ulong>() });
        stage.Check("the cut script is undone as a whole", account.Lost.Count is 0 or 100, $"{account.Lost.Count} of its 100 jobs are gone");
        string log = await File.ReadAllTextAsync(redis.Process.LogPath, stage.Token);
        stage.Check("Redis mended its file by itself (aof-load-truncated)", log.Contains("runcat", StringComparison.Ordinal), "its log says so");
        stage.Note("The 7 bytes belong to the last enqueue of 100 jobs: one script is one MULTI block in the file, so it is there as a whole or not at all. A file that is damaged in the middle is for redis-check-aof --fix (docs/chaos.md).");
    }

    /// <summary>Blocks without leases, leases without blocks, bitmaps without either.</summary>
    public static async Task FindOrphansAsync(Stage stage, PrivateRedis redis, string when)
    {
        string prefix = $"{{slipway:q:{Stage.QueueName}}}:2:";
        // In one step: the workers go on meanwhile.
        RespValue all = await redis.SendAsync(
            stage.Token, "EVAL", "return {redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('HKEYS', KEYS[2]), redis.call('HKEYS', KEYS[3])}", 3, prefix + "leases", prefix + "blocks", prefix + "acked");
        HashSet<string>[] sets = [.. all.Items.Select(set => set.Items.Select(one => one.AsString()).ToHashSet())];
        (HashSet<string> leases, HashSet<string> blocks, HashSet<string> acked) = (sets[0], sets[1], sets[2]);
        stage.Check($"no block without a lease, no lease without a block {when}", leases.SetEquals(blocks) && acked.IsSubsetOf(blocks), $"{leases.Count} leases, {blocks.Count} blocks, {acked.Count} bitmaps");
    }

    private static async Task KilledAsync(Stage stage, AppendMode mode)
    {
        int kills = stage.Either(20, 3);
        PrivateRedis redis = await stage.StartRedisAsync(mode);
        await stage.StartWorkersAsync(2, redis.Url);
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = stage.Either(30_000, 3_000) });
        await stage.PauseAsync(2);
        long from = Moments.Now;
        var cuts = new List<long>();
        var ups = new List<long>();
        for (int i = 0; i < kills; i++)
        {
            await stage.PauseAsync(1.2 + stage.Random.NextDouble());
            cuts.Add(Moments.Now);
            await redis.KillAsync(stage.Token);
            await redis.RestartAsync(stage.Token);
            ups.Add(Moments.Now);
            if (i % 5 == 0)
            {
                await FindOrphansAsync(stage, redis, $"after kill {i + 1}");
            }
        }

        await stage.PauseAsync(2);
        bool promised = mode is AppendMode.Always;
        HashSet<ulong> risked = promised ? [] : AcknowledgedBefore(stage, cuts, EverySecondWindow);
        Account account = await stage.SettleAsync(redis, new Bounds
        {
            CountersExact = promised,
            MayBeLost = risked.Contains,
            // With everysec, acknowledgements of ends may be lost with the rest: those jobs run again.
            Duplicates = promised ? 0 : risked.Count,
        });
        WorkerFaults.CheckRecovery(stage, account, ups[..^1], from);
        stage.Note(promised
            ? $"{kills} kills under {stage.Producers[0].Settings.Rate:n0} enqueues/s: what Redis had answered was on disk."
            : $"{kills} kills: {account.Lost.Count} of {account.Acknowledged:n0} acknowledged jobs lost, {account.Duplicates} run twice; {risked.Count:n0} were acknowledged in the 2 s before a kill, which is what everysec risks.");
    }

    private static async Task LosePowerAsync(Stage stage, AppendMode mode)
    {
        var part = new Stage(stage.Options, stage.Options.Seed, stage.Say, stage.Token);
        await using (part)
        {
            PrivateRedis redis = await part.StartRedisAsync(mode);
            // More than they carry: so that jobs wait, which is what can be lost.
            await part.StartWorkersAsync(2, redis.Url, w => w with { Concurrency = 4 });
            await part.StartProducerAsync(redis.Url, p => p with { Rate = 5_000, Kind = WorkKind.Wait, Microseconds = 2_000 });
            await part.PauseAsync(2);
            // Snapshots of the files, each with its moment: the one that is put back is the newest that the disk surely had.
            var copies = new List<(string Folder, long At)>();
            for (int i = 0; i < stage.Either(30, 20); i++)
            {
                string folder = part.NewFile("copy");
                long at = Moments.Now;
                redis.CopyAppendFolder(folder);
                copies.Add((folder, at));
                await part.PauseAsync(0.1);
            }

            // Under `always` each answer waits for its fsync: the disk has all that was answered, so the copy is made after the kill.
            await redis.KillAsync(part.Token);
            long cut = Moments.Now;
            (string last, long asOf) = mode is AppendMode.Always ? (part.NewFile("copy"), cut) : copies.Last(copy => Moments.Seconds(cut - copy.At) >= 1);
            if (mode is AppendMode.Always)
            {
                redis.CopyAppendFolder(last);
            }

            Directory.Delete(redis.AppendFolder, recursive: true);
            Directory.Move(last, redis.AppendFolder);
            await redis.RestartAsync(part.Token);
            await FindOrphansAsync(part, redis, "after the power came back");
            await part.PauseAsync(2);
            TimeSpan window = TimeSpan.FromSeconds(Moments.Seconds(cut - asOf) + 0.05);
            HashSet<ulong> risked = mode is AppendMode.Always ? [] : AcknowledgedBefore(part, [cut], window);
            Account account = await part.SettleAsync(redis, new Bounds
            {
                CountersExact = false,
                MayBeLost = risked.Contains,
                Duplicates = mode is AppendMode.Always ? 0 : risked.Count,
            });
            part.Note($"{mode}: {account.Lost.Count} of {account.Acknowledged:n0} acknowledged jobs lost, {account.Duplicates} run twice; the files put back were {Moments.Milliseconds(cut - asOf):0} ms old, {risked.Count:n0} jobs were acknowledged since.");
            stage.Take(part, mode.ToString());
        }
    }

    /// <summary>Ids acknowledged in the time before any of the cuts.</summary>
    private static HashSet<ulong> AcknowledgedBefore(Stage stage, IReadOnlyList<long> cuts, TimeSpan window)
    {
        var ids = new HashSet<ulong>();
        long ticks = Moments.Ticks(window);
        foreach (OfferRecord offer in stage.Offers.Where(offer => offer.Kind is OfferKind.Acknowledged && cuts.Any(cut => offer.At <= cut && offer.At > cut - ticks)))
        {
            for (int i = 0; i < offer.Count; i++)
            {
                ids.Add(offer.First + (ulong)i);
            }
        }

        return ids;
    }
}
