using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Scenarios;

/// <summary>F23, F24: what Redis answers when it cannot or will not.</summary>
internal static class ReplyFaults
{
    /// <summary>F23: the scripts are gone, again and again, in the middle of pipelines.</summary>
    public static async Task FlushedAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        // One at a time and one call in flight: so the order of the runs is that of the enqueues, if nobody changes it.
        await stage.StartWorkersAsync(1, redis.Url, w => w with { Concurrency = 1, LeaseMilliseconds = Stage.LongLeaseMilliseconds });
        await stage.StartProducerAsync(redis.Url, p => p with { Rate = 4_000, Lanes = 1, Block = 20 });
        int flushes = stage.Either(200, 40);
        for (int i = 0; i < flushes; i++)
        {
            await redis.SendAsync(stage.Token, "SCRIPT", "FLUSH");
            await redis.SendAsync(stage.Token, "FUNCTION", "FLUSH");
            await stage.PauseAsync(0.05);
        }

        await stage.SettleAsync(redis, new Bounds());
        RunRecord[] runs = [.. stage.RunLogs.Single().Runs];
        int reordered = runs.Zip(runs.Skip(1)).Count(pair => pair.Second.Id < pair.First.Id);
        stage.Check("0 reordered", reordered == 0, $"{reordered} of {runs.Length:n0}, over {flushes} flushes");
    }

    /// <summary>F24: each refusal while work goes on, and then its end.</summary>
    public static async Task RefusedAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync(AppendMode.None, "--busy-reply-threshold", "50", "--enable-debug-command", "local", "--loading-process-events-interval-bytes", "1024", "--dbfilename", "blocked.rdb");
        IRespClient side = await stage.ConnectAsync(redis.Url);
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        await stage.HostAsync(redis.Url);
        await stage.EnqueueAsync(broker, [.. Enumerable.Range(0, 100).Select(_ => stage.Draft())]);

        await DuringAsync("READONLY", async () =>
        {
            // A master that nobody is: it keeps what it has, and takes no writes.
            await redis.SendAsync(stage.Token, "REPLICAOF", "127.0.0.1", "1");
            await stage.PauseAsync(1);
            await redis.SendAsync(stage.Token, "REPLICAOF", "NO", "ONE");
        });
        await DuringAsync("BUSY", async () =>
        {
            Task<RespValue> endless = side.SendAsync(RespCommand.Of("EVAL", "while true do end", 0), stage.Token).AsTask();
            await stage.PauseAsync(1);
            await redis.SendAsync(stage.Token, "SCRIPT", "KILL");
            await endless.ContinueWith(_ => { }, TaskScheduler.Default);
        });
        await DuringAsync("LOADING", async () =>
        {
            for (int i = 0; i < 300; i++)
            {
                await redis.SendAsync(stage.Token, "SET", $"filler:{i}", new byte[2_000]);
            }

            // 5 ms per key: it loads for over a second.
            await redis.SendAsync(stage.Token, "CONFIG", "SET", "key-load-delay", "5000");
            await side.SendAsync(RespCommand.Of("DEBUG", "RELOAD"), stage.Token);
            await redis.SendAsync(stage.Token, "CONFIG", "SET", "key-load-delay", "0");
            await redis.SendAsync(stage.Token, "EVAL", "for i = 0, 299 do redis.call('DEL', 'filler:' .. i) end return 1", 0);
        });

        // MISCONF and OOM last until somebody does something: told at once, and nothing is lost.
        string snapshot = Path.Combine(redis.DataFolder, "blocked.rdb");
        File.Delete(snapshot);
        Directory.CreateDirectory(snapshot);
        await redis.SendAsync(stage.Token, "CONFIG", "SET", "save", "3600 1");
        await redis.SendAsync(stage.Token, "BGSAVE");
        Exception? misconf = null;
        await stage.UntilAsync(
            async () =>
            {
                try
                {
                    await stage.EnqueueAsync(broker, [stage.Draft()]);
                    return false;
                }
                catch (RespServerException e)
                {
                    misconf = e;
                    return true;
                }
            },
            60);
        stage.Check("MISCONF is told at once, as a fault of the server's state", misconf is RespServerException { Code: "MISCONF", IsTransient: true }, $"{misconf?.Message}");
        await redis.SendAsync(stage.Token, "CONFIG", "SET", "save", "");
        bool again = await stage.UntilAsync(
            async () =>
            {
                try
                {
                    await stage.EnqueueAsync(broker, [stage.Draft()]);
                    return true;
                }
                catch (RespServerException)
                {
                    return false;
                }
            },
            60);
        stage.Check("after MISCONF work goes on", again, "an enqueue was acknowledged");
        await stage.SettleAsync(redis, new Bounds());
        stage.Note("OOM is F16. READONLY, LOADING and BUSY are retried by the client until its command timeout (10 s), so nobody above sees an outage that is shorter.");

        async Task DuringAsync(string reply, Func<Task> fault)
        {
            long seen = await SeenAsync(reply);
            Task over = fault();
            int acknowledged = 0, failed = 0;
            while (!over.IsCompleted || acknowledged == 0)
            {
                try
                {
                    await stage.EnqueueAsync(broker, [stage.Draft()]);
                    acknowledged++;
                }
                catch (RespException)
                {
                    failed++;
                }

                await stage.PauseAsync(0.01);
            }

            await over;
            stage.Check($"{reply} was answered", await SeenAsync(reply) > seen, $"{await SeenAsync(reply) - seen} times by Redis' own count");
            stage.Check($"{reply} is waited out", failed == 0, $"{acknowledged} enqueues acknowledged, {failed} failed");
        }

        async Task<long> SeenAsync(string reply)
        {
            string text = (await redis.SendAsync(stage.Token, "INFO", "errorstats")).AsString();
            string? line = text.Split('\n').FirstOrDefault(one => one.StartsWith($"errorstat_{reply}:", StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..].Trim(), System.Globalization.CultureInfo.InvariantCulture);
        }
    }
}
