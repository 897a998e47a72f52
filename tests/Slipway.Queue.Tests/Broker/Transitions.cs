using System.Text;

namespace Slipway.Queue.Tests.Broker;

public abstract class Transitions(RedisFleet fleet, RedisKind kind) : BrokerTest(fleet, kind)
{
    [Fact]
    public async Task A_job_is_leased_as_it_was_enqueued_and_gone_when_its_block_is_finished()
    {
        Guid id = await AddAsync("mail", job => job with { Priority = JobPriority.High, MaxAttempts = 3, Timeout = TimeSpan.FromSeconds(7), Cost = 9, TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });

        JobBlock block = await LeaseAsync();
        Job job = block.Jobs.ShouldHaveSingleItem();
        job.Id.ShouldBe(id);
        job.Type.ShouldBe("mail");
        Encoding.UTF8.GetString(job.Payload.Span).ShouldBe("payload");
        job.Priority.ShouldBe(JobPriority.High);
        (job.MaxAttempts, job.Timeout, job.Cost, job.Attempt, job.LostLeases).ShouldBe((3, TimeSpan.FromSeconds(7), (byte)9, 1, 0));
        job.TraceParent.ShouldBe("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        job.NeedsSettling.ShouldBeFalse();
        job.EnqueuedAt.ShouldBeInRange(block.LeasedAt.AddMinutes(-1), block.LeasedAt.AddSeconds(1));

        (await FetchAsync(1, block.Id)).ShouldSatisfyAllConditions(result => result.Blocks.ShouldBeEmpty(), result => result.Late.ShouldBeEmpty());
        (await Queue.StatsAsync(Token)).Totals.ShouldBe(new Dictionary<string, long> { ["enqueued"] = 1, ["completed"] = 1 }, ignoreOrder: true);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task Jobs_come_in_order_and_tokens_only_rise()
    {
        await AddManyAsync("work", 250);

        JobBlock first = await LeaseAsync(100), second = await LeaseAsync(100), third = await LeaseAsync(100);

        int[] numbers = [.. first.Jobs.Concat(second.Jobs).Concat(third.Jobs).Select(job => BitConverter.ToInt32(job.Payload.Span))];
        numbers.ShouldBe(Enumerable.Range(0, 250));
        third.Token.ShouldBeGreaterThan(second.Token);
        second.Token.ShouldBeGreaterThan(first.Token);
        (await FetchAsync(1, first.Id, second.Id, third.Id)).Late.ShouldBeEmpty();
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task Jobs_done_in_a_running_block_are_not_done_again_when_their_worker_is_lost()
    {
        await AddManyAsync("work", 20);
        JobBlock block = await LeaseAsync(20, TimeSpan.FromMilliseconds(200));

        (await Queue.AckAsync([new BlockAck(block.Id, new byte[] { 0b1111_1111, 0b1 })], Token)).ShouldBe([true]);
        (await ReapAsync()).ShouldBe(new BlockReap(PutBack: 11, Died: 0));

        FetchResult again = await FetchAsync(20);
        again.Blocks.SelectMany(one => one.Jobs).Select(job => BitConverter.ToInt32(job.Payload.Span)).ShouldBe(Enumerable.Range(9, 11));
        again.Blocks.ShouldAllBe(one => one.Jobs.Count == 1 && one.Jobs[0].LostLeases == 1);
        (await Queue.AckAsync([new BlockAck(block.Id, new byte[] { 0xff, 0xff, 0xff })], Token)).ShouldBe([false]);
        (await FetchAsync(0, block.Id)).Late.ShouldBe([block.Id]);
        await FetchAsync(0, [.. again.Blocks.Select(one => one.Id)]);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_block_is_closed_by_its_last_ack_whatever_the_order()
    {
        await AddManyAsync("work", 10);
        JobBlock block = await LeaseAsync(10);

        await Queue.AckAsync([new BlockAck(block.Id, new byte[] { 0b0000_1111 })], Token);
        await Queue.AckAsync([new BlockAck(block.Id, new byte[] { 0b0000_0011, 0b10 })], Token);
        (await Queue.StatsAsync(Token)).Leased.ShouldBe(5);
        await Queue.AckAsync([new BlockAck(block.Id, new byte[] { 0b1111_0000, 0xff })], Token);

        (await Queue.StatsAsync(Token)).Totals["completed"].ShouldBe(10);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_failed_job_comes_back_after_its_delay_with_its_attempt_counted()
    {
        await AddAsync("work");
        JobBlock block = await LeaseAsync();

        (await EndAsync(block, 0, JobEndKind.Retry, TimeSpan.FromMilliseconds(150))).ShouldBeTrue();
        FetchResult early = await FetchAsync(1);
        early.Blocks.ShouldBeEmpty();
        early.Next.ShouldNotBeNull().ShouldBeInRange(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(150));

        JobBlock again = null!;
        await Testing.Eventually.TrueAsync(async _ => (again = (await FetchAsync(1)).Blocks.SingleOrDefault()!) is not null, Token);
        again.Jobs[0].Attempt.ShouldBe(2);
        await FetchAsync(0, again.Id);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task The_queues_policy_retries_and_then_buries()
    {
        await Queue.ConfigureAsync(s => s with { Retry = new RetryPolicy { MaxAttempts = 2, FirstDelay = TimeSpan.FromMilliseconds(1), MaxDelay = TimeSpan.FromMilliseconds(1) } }, Token);
        await AddAsync("work", job => job with { UniqueKey = "one" });
        await AddAsync("work", job => job with { MaxAttempts = 1, UniqueKey = "two", Batch = await0(Queue.OpenBatchAsync(new JobDraft { Type = "done" }, null, Token)) });

        JobBlock block = await LeaseAsync(2);
        (await Queue.SettleAsync(block.Id, [new JobEnd(0, JobEndKind.Failed, Reason: "r"), new JobEnd(1, JobEndKind.Failed, Reason: "r", Error: "bad")], Token)).ShouldBeTrue();
        QueueStats stats = await Queue.StatsAsync(Token);
        (stats.Delayed, stats.Dead, stats.DeadReasons["r"]).ShouldBe((1, 1, 1));

        JobBlock again = null!;
        await Testing.Eventually.TrueAsync(async _ => (again = (await FetchAsync(1)).Blocks.SingleOrDefault()!) is not null, Token);
        await EndAsync(again, 0, JobEndKind.Failed);
        (await Queue.DeadLettersAsync(new DeadFilter(), null, 10, Token)).Select(letter => (letter.Reason, letter.Job.Attempt)).ShouldBe([("test", 2), ("r", 1)]);

        static T await0<T>(Task<T> task) => task.GetAwaiter().GetResult();
    }

    [Fact]
    public async Task Released_jobs_go_to_the_head_of_the_line_in_their_order()
    {
        await AddManyAsync("work", 6);
        JobBlock block = await LeaseAsync(3);

        (await Queue.SettleAsync(block.Id, [.. Enumerable.Range(0, 3).Select(i => new JobEnd(i, JobEndKind.Released))], Token)).ShouldBeTrue();

        JobBlock all = await LeaseAsync(6);
        all.Jobs.Select(job => BitConverter.ToInt32(job.Payload.Span)).ShouldBe(Enumerable.Range(0, 6));
        all.Jobs.ShouldAllBe(job => job.Attempt == 1);
        await FetchAsync(0, all.Id);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_block_whose_fetch_was_not_answered_is_found_again_by_its_worker_only()
    {
        await AddManyAsync("work", 3);
        JobBlock block = await LeaseAsync(2);
        JobBlock other = await LeaseAsync(1);

        (await Queue.RecoverAsync([other.Id], Token)).ShouldHaveSingleItem().ShouldSatisfyAllConditions(
            found => found.Id.ShouldBe(block.Id), found => found.Jobs.Count.ShouldBe(2), found => found.Token.ShouldBe(block.Token));
        RedisBroker stranger = await OpenAsync("w2");
        (await stranger.RecoverAsync([], Token)).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_job_that_lost_its_workers_too_often_is_a_dead_letter()
    {
        await AddAsync("work", job => job with { UniqueKey = "poison" });
        for (int loss = 1; loss <= 2; loss++)
        {
            JobBlock block = null!;
            await Testing.Eventually.TrueAsync(async token => (block = (await Queue.FetchAsync(new FetchRequest(1, TimeSpan.FromMilliseconds(1), []), token)).Blocks.SingleOrDefault()!) is not null, Token);
            await ReapAsync();
        }

        await Testing.Eventually.TrueAsync(async token => (await Queue.FetchAsync(new FetchRequest(1, TimeSpan.FromMilliseconds(1), []), token)).Blocks.Count > 0, Token);
        (await ReapAsync()).ShouldBe(new BlockReap(0, 1));
        (await Queue.StatsAsync(Token)).DeadReasons.ShouldBe(new Dictionary<string, long> { ["crash-loop"] = 1 });
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_large_payload_lies_beside_the_queue_and_goes_with_its_job()
    {
        byte[] large = new byte[100_000];
        Random.Shared.NextBytes(large);
        await AddAsync("work", job => job with { Payload = large });

        JobBlock block = await LeaseAsync();
        block.Jobs[0].Payload.ToArray().ShouldBe(large);
        block.Jobs[0].NeedsSettling.ShouldBeTrue();
        await EndAsync(block, 0, JobEndKind.Completed);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task What_cannot_be_read_is_handed_out_as_damaged_and_can_be_buried()
    {
        await AddAsync("work");
        await SendAsync("LPUSH", Key("ready:3"), "rubbish");
        await SendAsync("LPUSH", Key("ready:3"), new byte[] { 99, 0, 3, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 120, 1 });

        JobBlock block = await LeaseAsync(3);
        block.Jobs.Select(job => job.Damage is null).ShouldBe([true, false, false]);
        await Queue.SettleAsync(block.Id, [new JobEnd(0, JobEndKind.Completed), new JobEnd(1, JobEndKind.Dead, Reason: "damaged"), new JobEnd(2, JobEndKind.Dead, Reason: "damaged")], Token);
        (await Queue.StatsAsync(Token)).DeadReasons["damaged"].ShouldBe(2);
    }

    [Fact]
    public async Task An_entry_that_is_cut_off_is_buried_once_and_closes_its_block()
    {
        // Flagged with a unique key of 200 characters that is not there; with flags of a later version; without its batch.
        byte[][] cut =
        [
            [1, 1, 3, 0, 0, 1, 4, .. new byte[16], .. "work"u8, 200],
            [1, 0x80, 3, 0, 0, 1, 4, .. new byte[16], .. "work"u8, 1, 2, 3],
            [1, 2, 3, 0, 0, 1, 4, .. new byte[16], .. "work"u8, 1, 2, 3],
            [1, 0, 3, 0, 0, 1, 90, .. new byte[16], .. "work"u8],
        ];
        foreach (byte[] entry in cut)
        {
            await SendAsync("LPUSH", Key("ready:3"), entry);
            await SendAsync("HINCRBY", Key("meta"), "live", 1);
            await SendAsync("HINCRBY", Key("meta"), "bytes", entry.Length);
            await SendAsync("HSET", Key("meta"), "levels", 8);
        }

        JobBlock block = await LeaseAsync(10);
        block.Jobs.ShouldAllBe(job => job.Damage != null);
        (await Queue.SettleAsync(block.Id, [.. Enumerable.Range(0, cut.Length).Select(i => new JobEnd(i, JobEndKind.Dead, Reason: "damaged"))], Token)).ShouldBeTrue();

        (await Queue.StatsAsync(Token)).ShouldSatisfyAllConditions(stats => stats.Dead.ShouldBe(cut.Length), stats => stats.Leased.ShouldBe(0));
        await ShouldBeEmptyAsync();
    }
}
