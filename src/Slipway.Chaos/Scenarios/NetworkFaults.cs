using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Roles;
using Slipway.Queue;

namespace Slipway.Chaos.Scenarios;

/// <summary>F9–F11, F25: what happens between the programs and Redis.</summary>
internal static class NetworkFaults
{
    /// <summary>F9: a line of 5, 50 and 200 ms per round trip, with jitter.</summary>
    public static async Task SlowAsync(Stage stage)
    {
        foreach (int milliseconds in stage.Either<int[]>([5, 50, 200], [5, 200]))
        {
            var part = new Stage(stage.Options, stage.Options.Seed, stage.Say, stage.Token);
            await using (part)
            {
                PrivateRedis redis = await part.StartRedisAsync();
                FaultProxy proxy = part.StartProxy(redis);
                (proxy.Latency, proxy.Jitter) = (TimeSpan.FromMilliseconds(milliseconds), TimeSpan.FromMilliseconds(milliseconds / 5.0));
                await part.StartWorkersAsync(2, proxy.Url, w => w with { LeaseMilliseconds = Stage.LongLeaseMilliseconds });
                // Lanes in flight times jobs per call, per round trip, is what a producer reaches at most: half of it.
                int rate = (int)Math.Min(4_000, 4 * 100 * 1000 / (milliseconds * 1.2) / 2);
                await part.StartProducerAsync(proxy.Url, p => p with { Rate = rate });
                await part.PauseAsync(stage.Either(10, 3));
                Account account = await part.SettleAsync(redis, new Bounds());
                part.Check("no lease was lost", part.Stats!.Totals.GetValueOrDefault("lost") == 0, $"{part.Stats.Totals.GetValueOrDefault("lost")} jobs");
                double reached = account.Acknowledged / Moments.Seconds(account.Ends[^1] - account.Ends[0]);
                part.Aim("the throughput is that of the producers", reached >= 0.8 * rate, $"{reached:n0} jobs/s of {rate:n0}");
                (double p50, double p99) = PickUp(part);
                part.Aim("p99 from the enqueue's answer to the start, once warm, within three round trips", p99 <= (3 * milliseconds * 1.4) + 50, $"p50 {p50:0.0} ms, p99 {p99:0.0} ms");
                stage.Take(part, $"{milliseconds} ms");
            }
        }
    }

    /// <summary>F10: connections are reset each second.</summary>
    public static async Task ResetAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        FaultProxy proxy = stage.StartProxy(redis);
        await stage.StartWorkersAsync(2, proxy.Url, w => w with { LeaseMilliseconds = Stage.LongLeaseMilliseconds });
        await stage.StartProducerAsync(proxy.Url, p => p with { Rate = stage.Either(5_000, 2_000), Kind = WorkKind.Wait, Microseconds = 1_000 });
        await stage.PauseAsync(2);
        long from = Moments.Now;
        var cuts = new List<long>();
        int reset = 0;
        for (int i = 0; i < stage.Either(20, 4); i++)
        {
            cuts.Add(Moments.Now);
            reset += proxy.Reset();
            await stage.PauseAsync(1);
        }

        await stage.PauseAsync(1);
        Account account = await stage.SettleAsync(redis, new Bounds());
        stage.Check("no enqueue is left in doubt", account.Unknown == 0, $"{account.Unknown} of {account.Offered:n0}: repeated under the same number until it was answered");
        // The next cut comes before a second is over: what counts is how soon jobs end again after each.
        TimeSpan gap = cuts.Select(cut => account.NextEnd(cut)).Max();
        stage.Recovery = gap;
        stage.Aim("at work again within 1 s of each reset", gap.TotalSeconds <= 1, $"{gap.TotalSeconds:0.00} s at most");
        double during = account.Rate(cuts[0], cuts[^1]), before = account.Rate(from - Moments.Ticks(TimeSpan.FromSeconds(1)), from);
        stage.Aim("a reset each second costs less than a fifth of the throughput", during > 0.8 * before, $"{during:n0} jobs/s of {before:n0}");
        stage.Check("no lease ran out: blocks whose fetch was cut off were recovered", stage.Stats!.Totals.GetValueOrDefault("lost") == 0, $"{stage.Stats.Totals.GetValueOrDefault("lost")} jobs");
        stage.Note($"{reset} connections were reset, {proxy.Accepted} were made.");
    }

    /// <summary>F10: connections on which nothing passes any more, without anybody being told.</summary>
    public static Task HalfOpenAsync(Stage stage) => DeafAsync(stage, proxy => proxy.Silence());

    /// <summary>F10: replies do not come back; requests still go through.</summary>
    public static Task OneWayAsync(Stage stage) => DeafAsync(stage, proxy => proxy.Block(Direction.ToClient));

    /// <summary>F11: the call was executed, and its answer was lost: of an enqueue, a fetch, an acknowledgement, a settlement.</summary>
    public static async Task ReplyLostAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        FaultProxy proxy = stage.StartProxy(redis);
        await stage.StartWorkersAsync(1, proxy.Url, w => w with { Concurrency = 8, LeaseMilliseconds = Stage.LongLeaseMilliseconds });
        await stage.StartProducerAsync(proxy.Url, p => p with { Rate = 1_000, Kind = WorkKind.Wait, Microseconds = 3_000, Block = 50 });
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        await stage.PauseAsync(1);
        int times = stage.Either(20, 4);
        long lost = 0;
        for (int i = 0; i < times; i++)
        {
            // Any script of the queue, whatever it does: about as often each as they are called.
            proxy.LoseReplyOf(request => request.Span.IndexOf("EVALSHA"u8) >= 0);
            lost++;
            if (!await stage.UntilAsync(() => proxy.RepliesLost >= lost, 30))
            {
                break;
            }

            // Connections that live for a while are repaired at once; those cut again and again are waited for longer and longer.
            await stage.PauseAsync(1.5);
            if (i % 5 == 0)
            {
                // A job that throws is settled with words: that call, too, may be the one.
                await stage.EnqueueAsync(broker, [stage.Draft(WorkKind.Throw)]);
            }
        }

        int poison = (int)Math.Ceiling(times / 5.0);
        Account account = await stage.SettleAsync(redis, new Bounds { Dead = poison });
        stage.Check("replies were lost", proxy.RepliesLost >= times, $"{proxy.RepliesLost} of enqueue, fetch, ack, settle and extend");
        stage.Check("no enqueue is left in doubt", account.Unknown == 0, $"{account.Unknown}");
        stage.Check("no lease ran out: blocks whose answer was lost were recovered", stage.Stats!.Totals.GetValueOrDefault("lost") == 0, $"{stage.Stats.Totals.GetValueOrDefault("lost")} jobs");
        double slowest = Slowest(stage);
        stage.Aim("a block whose answer was lost is at work again within 1 s, not after its lease", slowest < 1_000, $"{slowest:0} ms at most from the enqueue's answer to the start");
    }

    /// <summary>F25: the connection that wakes idle workers up is gone.</summary>
    public static async Task WakeUpLostAsync(Stage stage)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        await stage.StartWorkersAsync(1, redis.Url);
        RedisBroker broker = await stage.OpenAsync(redis.Url);
        string channel = $"{{slipway:q:{Stage.QueueName}}}:2:wake";
        double slowest = 0;
        bool all = true;
        for (int i = 0; i < stage.Either(10, 4); i++)
        {
            // Messages are published into the void: workers come to listen again, but this one is missed.
            await redis.SendAsync(stage.Token, "CLIENT", "KILL", "TYPE", "PUBSUB");
            JobDraft job = stage.Draft();
            long from = Moments.Now;
            long runs = stage.Executions;
            await stage.EnqueueAsync(broker, [job]);
            all &= await stage.UntilAsync(() => stage.Executions > runs, 30);
            slowest = Math.Max(slowest, Moments.Milliseconds(Moments.Now - from));
            await stage.PauseAsync(0.2);
        }

        // With nobody's connection cut, but the message itself lost: put in line behind the queue's back.
        JobDraft silent = stage.Draft();
        await stage.EnqueueAsync(broker, [silent with { Delay = TimeSpan.FromHours(1) }]);
        string prefix = $"{{slipway:q:{Stage.QueueName}}}:2:";
        long count = stage.Executions;
        long at = Moments.Now;
        await redis.SendAsync(
            stage.Token, "EVAL", "local e = redis.call('ZPOPMIN', KEYS[1]) redis.call('LPUSH', KEYS[2], e[1]) redis.call('HSET', KEYS[3], 'levels', 255) return 1", 3, prefix + "delayed", prefix + "ready:3", prefix + "meta");
        bool found = await stage.UntilAsync(() => stage.Executions > count, 30);
        double polled = Moments.Milliseconds(Moments.Now - at);
        // The poll is each 1.1 s, up to a fifth later.
        stage.Check("picked up although nobody listened", all, $"on {channel}");
        stage.Check("picked up although no message came", found, "by the poll");
        stage.Aim("picked up within 1 s when the listening connection is cut", slowest < 1_000, $"{slowest:0} ms at most, on {channel}");
        stage.Aim("picked up by the next poll when the message itself is lost", polled < 1_500, $"{polled:0} ms; the poll is each 1.1 to 1.3 s, so that an idle process stays below one command per second");
        await stage.SettleAsync(redis, new Bounds());
    }

    private static async Task DeafAsync(Stage stage, Func<FaultProxy, int> fault)
    {
        PrivateRedis redis = await stage.StartRedisAsync();
        FaultProxy proxy = stage.StartProxy(redis);
        await stage.StartWorkersAsync(2, proxy.Url, w => w with { LeaseMilliseconds = Stage.LongLeaseMilliseconds });
        await stage.StartProducerAsync(proxy.Url, p => p with { Rate = 2_000, Kind = WorkKind.Wait, Microseconds = 1_000, CommandTimeoutMilliseconds = 20_000 });
        await stage.PauseAsync(2);
        long from = Moments.Now;
        int deaf = fault(proxy);
        await stage.PauseAsync(8);
        Account account = await stage.SettleAsync(redis, new Bounds());
        WorkerFaults.CheckRecovery(stage, account, [from], from, most: 5 + 1);
        stage.Check("no lease ran out", stage.Stats!.Totals.GetValueOrDefault("lost") == 0, $"{stage.Stats.Totals.GetValueOrDefault("lost")} jobs");
        stage.Check("no enqueue is left in doubt", account.Unknown == 0, $"{account.Unknown}");
        stage.Note($"{deaf} connections went deaf; found by the ping (each 5 s at most), and the calls repeated on new ones.");
    }

    /// <summary>From the answer of the enqueue to the start of the run, in ms.</summary>
    private static (double P50, double P99) PickUp(Stage stage)
    {
        // The first two seconds a worker learns how short the jobs are, and takes few at a time.
        double[] waits = [.. Waits(stage, Moments.Ticks(TimeSpan.FromSeconds(2))).Order()];
        return waits.Length == 0 ? (double.NaN, double.NaN) : (waits[waits.Length / 2], waits[(int)(waits.Length * 0.99)]);
    }

    private static double Slowest(Stage stage) => Waits(stage, 0).DefaultIfEmpty().Max();

    private static IEnumerable<double> Waits(Stage stage, long after)
    {
        var answered = new Dictionary<ulong, long>();
        foreach (OfferRecord offer in stage.Offers.Where(offer => offer.Kind is OfferKind.Acknowledged))
        {
            for (int i = 0; i < offer.Count; i++)
            {
                answered[offer.First + (ulong)i] = offer.At;
            }
        }

        long from = answered.Count == 0 ? 0 : answered.Values.Min() + after;
        return stage.RunLogs.SelectMany(log => log.Runs).Where(run => run.Attempt == 1 && answered.TryGetValue(run.Id, out long at) && at >= from)
            .Select(run => Math.Max(0, Moments.Milliseconds(run.Start - answered[run.Id])));
    }
}
