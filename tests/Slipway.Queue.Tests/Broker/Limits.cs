using Slipway.Testing;

namespace Slipway.Queue.Tests.Broker;

public abstract class Limits(RedisFleet fleet, RedisKind kind) : BrokerTest(fleet, kind)
{
    [Fact]
    public async Task The_lowest_and_the_middle_levels_get_their_share_of_a_strict_queue_for_any_block_size()
    {
        foreach (int max in new[] { 1, 7, 100 })
        {
            await AddManyAsync("top", 1000, JobPriority.Highest);
            await AddManyAsync("middle", 1000, JobPriority.Normal);
            await AddManyAsync("low", 1000, JobPriority.Lowest);
            var counts = new Dictionary<string, int>();
            for (int taken = 0; taken < 800;)
            {
                JobBlock block = await LeaseAsync(max);
                taken += block.Jobs.Count;
                foreach (Job job in block.Jobs)
                {
                    counts[job.Type] = counts.GetValueOrDefault(job.Type) + 1;
                }
            }

            counts["low"].ShouldBeInRange(40, 60);
            counts["middle"].ShouldBeInRange(40, 60);
            await SendAsync("DEL", Key("ready:0"), Key("ready:3"), Key("ready:7"));
        }
    }

    [Fact]
    public async Task A_weighted_queue_hands_out_in_proportion()
    {
        await Queue.ConfigureAsync(s => s with { Weighted = true, Weights = [6, 1, 1, 3, 1, 1, 1, 1] }, Token);
        foreach (int max in new[] { 1, 10 })
        {
            await AddManyAsync("top", 1000, JobPriority.Highest);
            await AddManyAsync("middle", 1000, JobPriority.Normal);
            await AddManyAsync("low", 1000, JobPriority.Lowest);
            var counts = new Dictionary<string, int>();
            for (int taken = 0; taken < 500;)
            {
                JobBlock block = await LeaseAsync(max);
                taken += block.Jobs.Count;
                foreach (Job job in block.Jobs)
                {
                    counts[job.Type] = counts.GetValueOrDefault(job.Type) + 1;
                }
            }

            counts["top"].ShouldBeInRange(280, 320);
            counts["middle"].ShouldBeInRange(140, 160);
            counts["low"].ShouldBeInRange(40, 60);
            await SendAsync("DEL", Key("ready:0"), Key("ready:3"), Key("ready:7"));
        }
    }

    [Fact]
    public async Task A_paused_queue_takes_jobs_and_hands_out_none()
    {
        await Queue.ConfigureAsync(s => s with { Paused = true }, Token);
        await AddAsync("work");
        (await FetchAsync(10)).Blocks.ShouldBeEmpty();
        (await Queue.StatsAsync(Token)).PausedWhy.ShouldBe("settings");

        Task woken = Queue.NextWake;
        RedisBroker other = await OpenAsync("w2");
        await other.ConfigureAsync(s => s with { Paused = false }, Token);
        await woken.WaitAsync(Token);
        (await LeaseAsync()).Jobs.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_paused_type_waits_aside_and_lets_others_pass_until_it_is_resumed()
    {
        await Queue.ConfigureAsync(s => s with { Types = new Dictionary<string, TypeLimits> { ["mail"] = new() { Paused = true } } }, Token);
        await AddManyAsync("mail", 30);
        await AddManyAsync("other", 5);

        (await LeaseAsync(10)).Jobs.ShouldAllBe(job => job.Type == "other");
        QueueStats stats = await Queue.StatsAsync(Token);
        stats.Held["mail"].ShouldBe(30);

        await Queue.ConfigureAsync(s => s with { Types = new Dictionary<string, TypeLimits>() }, Token);
        JobBlock block = await LeaseAsync(30);
        block.Jobs.Select(job => BitConverter.ToInt32(job.Payload.Span)).ShouldBe(Enumerable.Range(0, 30));
    }

    [Fact]
    public async Task A_type_runs_at_most_so_many_at_once_over_all_workers_and_the_next_is_told_of_room()
    {
        await LimitAsync("mail", new TypeLimits { Concurrency = 3 });
        await AddManyAsync("mail", 10);
        RedisBroker other = await OpenAsync("w2");

        JobBlock first = await LeaseAsync(2);
        JobBlock second = (await other.FetchAsync(new FetchRequest(10, Minute, []), Token)).Blocks.ShouldHaveSingleItem();
        (first.Jobs.Count, second.Jobs.Count).ShouldBe((2, 1));
        (await FetchAsync(10)).Blocks.ShouldBeEmpty();

        Task woken = other.NextWake;
        await Queue.AckAsync([new BlockAck(first.Id, new byte[] { 1 })], Token);
        await woken.WaitAsync(Token);
        (await other.FetchAsync(new FetchRequest(10, Minute, []), Token)).Blocks.ShouldHaveSingleItem().Jobs.Count.ShouldBe(1);
        (await FetchAsync(10, first.Id)).Blocks.ShouldHaveSingleItem().Jobs.Count.ShouldBe(1);
    }

    [Fact]
    public async Task The_places_of_a_lost_worker_are_free_again()
    {
        await LimitAsync("mail", new TypeLimits { Concurrency = 2 });
        await AddManyAsync("mail", 4);
        await LeaseAsync(2, TimeSpan.FromMilliseconds(1));
        (await FetchAsync(2)).Blocks.ShouldBeEmpty();
        await ReapAsync();
        (await FetchAsync(2)).Blocks.Sum(block => block.Jobs.Count).ShouldBe(2);
        (await FetchAsync(2)).Blocks.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_whole_queue_can_have_a_limit()
    {
        await LimitAsync("", new TypeLimits { Concurrency = 3 });
        await AddManyAsync("a", 5);
        await AddManyAsync("b", 5);
        JobBlock block = await LeaseAsync(10);
        block.Jobs.Count.ShouldBe(3);
        (await FetchAsync(10)).Blocks.ShouldBeEmpty();
        (await FetchAsync(10, block.Id)).Blocks.ShouldHaveSingleItem().Jobs.Count.ShouldBe(3);
    }

    [Fact]
    public async Task A_rate_counts_cost_and_tells_exactly_when_the_next_may_go()
    {
        await LimitAsync("call", new TypeLimits { Rate = 10, Burst = 4 });
        foreach (int _ in Enumerable.Range(0, 4))
        {
            await AddAsync("call", job => job with { Cost = 2 });
        }

        FetchResult first = await FetchAsync(10);
        first.Blocks.Sum(block => block.Jobs.Count).ShouldBe(2);
        // Two tokens at ten a second.
        first.Next.ShouldNotBeNull().TotalMilliseconds.ShouldBeInRange(100, 200);

        FetchResult next = first;
        await Eventually.TrueAsync(async _ => (next = await FetchAsync(10)).Blocks.Count > 0, Token);
        next.Blocks.Sum(block => block.Jobs.Count).ShouldBe(1);
        (next.ServerTime - first.ServerTime).TotalMilliseconds.ShouldBeGreaterThanOrEqualTo(190);
    }

    [Fact]
    public async Task A_breaker_opens_after_failures_in_a_row_lets_one_probe_through_and_closes_with_its_success()
    {
        await LimitAsync("call", new TypeLimits { BreakAfter = 2, BreakFor = TimeSpan.FromMilliseconds(200) });
        await AddManyAsync("call", 6);
        JobBlock block = await LeaseAsync(2);
        await EndAsync(block, 0, JobEndKind.Retry, TimeSpan.FromHours(1));
        await EndAsync(block, 1, JobEndKind.Retry, TimeSpan.FromHours(1));
        FetchResult open = await FetchAsync(10);
        open.Blocks.ShouldBeEmpty();
        open.Next.ShouldNotBeNull().TotalMilliseconds.ShouldBeInRange(1, 200);
        (await BreakerAsync()).ShouldBe("open");

        JobBlock probe = null!;
        await Eventually.TrueAsync(async _ => (probe = (await FetchAsync(10)).Blocks.SingleOrDefault()!) is not null, Token);
        probe.Jobs.Count.ShouldBe(1);
        (await FetchAsync(10)).Blocks.ShouldBeEmpty();
        await EndAsync(probe, 0, JobEndKind.Retry, TimeSpan.FromHours(1));
        FetchResult reopened = await FetchAsync(10);
        reopened.Next.ShouldNotBeNull().TotalMilliseconds.ShouldBeInRange(200, 400);

        await Eventually.TrueAsync(async _ => (probe = (await FetchAsync(10)).Blocks.SingleOrDefault()!) is not null, Token);
        FetchResult closed = await FetchAsync(10, probe.Id);
        closed.Blocks.Sum(one => one.Jobs.Count).ShouldBe(2);
        (await BreakerAsync()).ShouldBe("closed");
    }

    [Theory]
    [InlineData("depth")]
    [InlineData("bytes")]
    [InlineData("age")]
    public async Task A_full_queue_takes_all_or_none_and_says_which_bound(string bound)
    {
        await Queue.ConfigureAsync(
            s => bound switch
            {
                "depth" => s with { MaxJobs = 5 },
                "bytes" => s with { MaxBytes = 5 * 33 },
                _ => s with { MaxAge = TimeSpan.FromMilliseconds(1) },
            },
            Token);
        await AddManyAsync("t", 4);
        QueueFullException full = null!;
        await Eventually.TrueAsync(
            async _ =>
            {
                try
                {
                    await AddManyAsync("t", 3);
                    return false;
                }
                catch (QueueFullException refused)
                {
                    full = refused;
                    return true;
                }
            },
            Token);
        full.Bound.ShouldBe(bound);
        if (bound != "age")
        {
            (await Queue.StatsAsync(Token)).ReadyTotal.ShouldBe(4);
            await AddManyAsync("t", 1);
        }
    }

    [Fact]
    public async Task At_the_bound_of_dead_letters_the_queue_halts_until_somebody_made_room()
    {
        await Queue.ConfigureAsync(s => s with { MaxDead = 3 }, Token);
        await AddManyAsync("work", 5);
        JobBlock block = await LeaseAsync(3);
        await Queue.SettleAsync(block.Id, [.. Enumerable.Range(0, 3).Select(i => new JobEnd(i, JobEndKind.Dead, Reason: "r"))], Token);
        (await FetchAsync(1)).Blocks.ShouldBeEmpty();
        (await Queue.StatsAsync(Token)).PausedWhy.ShouldBe("dead letters");
        await Queue.ConfigureAsync(s => s with { MaxJobs = 500 }, Token);
        (await FetchAsync(1)).Blocks.ShouldBeEmpty();

        (await Queue.PurgeDeadAsync(new DeadFilter(Ids: [(await Queue.DeadLettersAsync(new DeadFilter(), null, 1, Token))[0].Id]), null, Token)).ShouldBe(1);
        (await LeaseAsync()).Jobs.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Or_the_oldest_dead_letters_go_and_are_counted()
    {
        await Queue.ConfigureAsync(s => s with { MaxDead = 2, DeadOverflow = DeadOverflow.DropOldest }, Token);
        await AddManyAsync("work", 5);
        JobBlock block = await LeaseAsync(5);
        await Queue.SettleAsync(block.Id, [.. Enumerable.Range(0, 5).Select(i => new JobEnd(i, JobEndKind.Dead, Reason: $"r{i}"))], Token);
        QueueStats stats = await Queue.StatsAsync(Token);
        (stats.Dead, stats.Totals["died"], stats.Totals["dropped"]).ShouldBe((2, 5, 3));
        stats.DeadReasons.Count.ShouldBe(2);
    }

    [Fact]
    public async Task Settings_are_changed_by_one_at_a_time_and_checked()
    {
        RedisBroker other = await OpenAsync("w2");
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => (i % 2 == 0 ? Queue : other).ConfigureAsync(s => s with { MaxJobs = s.MaxJobs + 1 }, Token)));
        (await Queue.SettingsAsync(Token)).MaxJobs.ShouldBe(1_000_020);

        ArgumentException refused = await Should.ThrowAsync<ArgumentException>(() => Queue.ConfigureAsync(s => s with { MaxJobs = 0, Weights = [1] }, Token));
        refused.Message.ShouldContain("maxJobs");
        refused.Message.ShouldContain("weights");
    }

    [Fact]
    public async Task Many_due_at_once_are_promoted_in_bounded_steps_and_none_is_forgotten()
    {
        await Queue.EnqueueAsync([.. Enumerable.Range(0, 1000).Select(_ => new JobDraft { Type = "t", Delay = TimeSpan.FromMilliseconds(1) })], Durability.Server, Token);
        int taken = 0;
        await Eventually.TrueAsync(
            async _ =>
            {
                FetchResult result = await FetchAsync(300);
                int got = result.Blocks.Sum(block => block.Jobs.Count);
                got.ShouldBeLessThanOrEqualTo(100);
                taken += got;
                return taken == 1000;
            },
            Token);
    }

    private Task<QueueSettings> LimitAsync(string type, TypeLimits limits) =>
        Queue.ConfigureAsync(s => s with { Types = new Dictionary<string, TypeLimits> { [type] = limits } }, Token);

    private async Task<string> BreakerAsync() => (await Queue.StatsAsync(Token)).Types.ShouldHaveSingleItem().Breaker;
}
