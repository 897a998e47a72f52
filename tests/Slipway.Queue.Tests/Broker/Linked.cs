using System.Text;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Broker;

/// <summary>Unique keys, batches, dependencies, tracking, schedules: jobs whose end means something to others.</summary>
public abstract class Linked(RedisFleet fleet, RedisKind kind) : BrokerTest(fleet, kind)
{
    [Fact]
    public async Task A_unique_key_is_taken_until_its_job_has_ended_and_no_longer()
    {
        Guid first = await AddAsync("sync", job => job with { UniqueKey = "customer:7" });
        (await AddUniqueAsync("customer:7")).ShouldBe(new Enqueued(first, EnqueueOutcome.Duplicate));

        JobBlock block = await LeaseAsync();
        (await AddUniqueAsync("customer:7")).Outcome.ShouldBe(EnqueueOutcome.Duplicate);
        await EndAsync(block, 0, JobEndKind.Retry, TimeSpan.FromHours(1));
        (await AddUniqueAsync("customer:7")).Outcome.ShouldBe(EnqueueOutcome.Duplicate);
        (await AddUniqueAsync("customer:8")).Outcome.ShouldBe(EnqueueOutcome.Added);

        JobBlock other = await LeaseAsync();
        await EndAsync(other, 0, JobEndKind.Completed);
        (await AddUniqueAsync("customer:8")).Outcome.ShouldBe(EnqueueOutcome.Added);
    }

    [Fact]
    public async Task A_unique_key_can_stay_taken_for_a_while_after_the_end()
    {
        await AddAsync("sync", job => job with { UniqueKey = "k", UniqueFor = TimeSpan.FromSeconds(1) });
        JobBlock block = await LeaseAsync();
        await EndAsync(block, 0, JobEndKind.Completed);

        (await AddUniqueAsync("k")).Outcome.ShouldBe(EnqueueOutcome.Duplicate);
        await Eventually.TrueAsync(async _ => (await AddUniqueAsync("k")).Outcome is EnqueueOutcome.Added, Token);
    }

    [Fact]
    public async Task The_unique_key_of_a_lost_worker_is_neither_freed_nor_leaked()
    {
        Guid id = await AddAsync("sync", job => job with { UniqueKey = "k" });
        await LeaseAsync(1, TimeSpan.FromMilliseconds(1));
        await ReapAsync();
        (await AddUniqueAsync("k")).ShouldBe(new Enqueued(id, EnqueueOutcome.Duplicate));

        JobBlock block = await LeaseAsync();
        await EndAsync(block, 0, JobEndKind.Completed);
        (await SendAsync("HLEN", Key("unique"))).AsInteger().ShouldBe(0);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_redriven_dead_letter_takes_its_key_again_or_stays()
    {
        await AddAsync("sync", job => job with { UniqueKey = "k" });
        await EndAsync(await LeaseAsync(), 0, JobEndKind.Dead);
        (await AddUniqueAsync("k")).Outcome.ShouldBe(EnqueueOutcome.Added);

        (await Queue.RedriveAsync(new DeadFilter(), null, null, Token)).ShouldBe(0);
        await EndAsync(await LeaseAsync(), 0, JobEndKind.Completed);
        (await Queue.RedriveAsync(new DeadFilter(), null, null, Token)).ShouldBe(1);
        (await AddUniqueAsync("k")).Outcome.ShouldBe(EnqueueOutcome.Duplicate);
        JobBlock again = await LeaseAsync();
        again.Jobs[0].Attempt.ShouldBe(1);
        await EndAsync(again, 0, JobEndKind.Completed);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_batch_calls_back_once_after_its_last_job_whatever_became_of_them()
    {
        Guid batch = await Queue.OpenBatchAsync(new JobDraft { Type = "all-done" }, null, Token);
        foreach (int _ in Enumerable.Range(0, 3))
        {
            await AddAsync("part", job => job with { Batch = batch });
        }

        JobBlock block = await LeaseAsync(3);
        await EndAsync(block, 0, JobEndKind.Completed);
        await EndAsync(block, 1, JobEndKind.Dead);
        (await Queue.CloseBatchAsync(batch, Token)).ShouldBe(new BatchStatus(batch, 3, 1, 1, Open: false, CalledBack: false));
        (await Queue.EnqueueAsync([new JobDraft { Type = "late", Batch = batch }], Durability.Server, Token))[0].Outcome.ShouldBe(EnqueueOutcome.BatchClosed);
        (await FetchAsync(1)).Blocks.ShouldBeEmpty();

        await EndAsync(block, 2, JobEndKind.Completed);
        await EndAsync(block, 2, JobEndKind.Completed);
        JobBlock callback = await LeaseAsync(10);
        callback.Jobs.ShouldHaveSingleItem().Type.ShouldBe("all-done");
        (await Queue.CloseBatchAsync(batch, Token))!.CalledBack.ShouldBeTrue();
        await FetchAsync(0, callback.Id);
        (await FetchAsync(1)).Blocks.ShouldBeEmpty();
        await Queue.PurgeDeadAsync(new DeadFilter(), null, Token);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task An_outer_batch_waits_for_the_callback_of_its_inner_one()
    {
        Guid outer = await Queue.OpenBatchAsync(new JobDraft { Type = "outer-done" }, null, Token);
        Guid inner = await Queue.OpenBatchAsync(new JobDraft { Type = "inner-done" }, outer, Token);
        await AddAsync("part", job => job with { Batch = inner });
        await Queue.CloseBatchAsync(outer, Token);
        await Queue.CloseBatchAsync(inner, Token);

        await EndAsync(await LeaseAsync(5), 0, JobEndKind.Completed);
        JobBlock callback = await LeaseAsync(5);
        callback.Jobs.ShouldHaveSingleItem().Type.ShouldBe("inner-done");
        await EndAsync(callback, 0, JobEndKind.Completed);
        JobBlock last = await LeaseAsync(5);
        last.Jobs.ShouldHaveSingleItem().Type.ShouldBe("outer-done");
        await FetchAsync(0, last.Id);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_job_starts_when_all_it_waits_for_have_completed()
    {
        Guid a = await AddAsync("a", job => job with { Track = true }), b = await AddAsync("b", job => job with { Track = true });
        Guid c = await AddAsync("c", job => job with { After = [a, b] });
        (await Queue.FindAsync(c, Token))!.State.ShouldBe(JobState.Waiting);

        JobBlock block = await LeaseAsync(10);
        block.Jobs.Count.ShouldBe(2);
        await EndAsync(block, 0, JobEndKind.Completed, result: "42");
        (await FetchAsync(1)).Blocks.ShouldBeEmpty();
        await EndAsync(block, 1, JobEndKind.Completed);

        JobBlock last = await LeaseAsync();
        last.Jobs[0].Id.ShouldBe(c);
        await EndAsync(last, 0, JobEndKind.Completed);
        Encoding.UTF8.GetString((await Queue.FindAsync(a, Token))!.Result.Span).ShouldBe("42");
        (await Queue.FindAsync(c, Token))!.State.ShouldBe(JobState.Completed);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task Who_waits_for_a_dead_job_is_dead_too_down_the_whole_chain()
    {
        Guid first = await AddAsync("link", job => job with { Track = true });
        Guid before = first;
        for (int i = 0; i < 20; i++)
        {
            before = await AddAsync("link", job => job with { After = [before] });
        }

        await EndAsync(await LeaseAsync(), 0, JobEndKind.Dead);

        (await Queue.FindAsync(before, Token))!.State.ShouldBe(JobState.Dead);
        (await Queue.StatsAsync(Token)).DeadReasons.ShouldBe(new Dictionary<string, long> { ["test"] = 1, ["dependency"] = 20 }, ignoreOrder: true);
        (await Queue.EnqueueAsync([new JobDraft { Type = "x", After = [first] }], Durability.Server, Token))[0].Outcome.ShouldBe(EnqueueOutcome.DependencyFailed);
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_tracked_job_tells_its_state_and_progress()
    {
        Guid id = await AddAsync("long", job => job with { Track = true });
        (await Queue.FindAsync(id, Token))!.ShouldSatisfyAllConditions(job => job.State.ShouldBe(JobState.Ready), job => job.Type.ShouldBe("long"));

        JobBlock block = await LeaseAsync();
        (await Queue.ProgressAsync(id, 37.5, "row 3 of 8", Token)).ShouldBeTrue();
        JobStatus running = (await Queue.FindAsync(id, Token))!;
        (running.State, running.Attempt, running.Progress, running.Note).ShouldBe((JobState.Running, 1, 37.5, "row 3 of 8"));

        await EndAsync(block, 0, JobEndKind.Completed, result: "done");
        (await Queue.ProgressAsync(id, 50, "", Token)).ShouldBeFalse();
        (await Queue.FindAsync(Guid.NewGuid(), Token)).ShouldBeNull();
    }

    [Fact]
    public async Task A_running_job_is_told_of_its_cancellation_and_one_in_line_is_handed_out_as_cancelled()
    {
        Guid running = await AddAsync("work", job => job with { Track = true });
        JobBlock block = await LeaseAsync();
        var told = new TaskCompletionSource<Guid>();
        Queue.CancelRequested += id => told.TrySetResult(id);
        (await Queue.CancelAsync(running, Token)).ShouldBeTrue();
        (await told.Task.WaitAsync(Token)).ShouldBe(running);
        await EndAsync(block, 0, JobEndKind.Cancelled);

        Guid waiting = await AddAsync("work", job => job with { Track = true });
        await Queue.CancelAsync(waiting, Token);
        JobBlock next = await LeaseAsync();
        next.Jobs[0].CancelRequested.ShouldBeTrue();
        await EndAsync(next, 0, JobEndKind.Cancelled);
        (await Queue.FindAsync(waiting, Token))!.State.ShouldBe(JobState.Cancelled);
        (await Queue.CancelAsync(waiting, Token)).ShouldBeFalse();
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task A_slot_of_a_schedule_is_fired_once_by_any_number_of_schedulers()
    {
        RedisBroker[] schedulers = [Queue, await OpenAsync("w2"), await OpenAsync("w3")];
        DateTimeOffset slot = DateTimeOffset.UnixEpoch.AddDays(20_000);
        bool[] fired = await Task.WhenAll(Enumerable.Range(0, 30).Select(i => schedulers[i % 3].FireAsync("nightly", slot, new JobDraft { Type = "clean" }, Token)));

        fired.Count(one => one).ShouldBe(1);
        (await Queue.FireAsync("nightly", slot.AddDays(-1), new JobDraft { Type = "clean" }, Token)).ShouldBeFalse();
        (await Queue.FireAsync("nightly", slot.AddDays(1), new JobDraft { Type = "clean" }, Token)).ShouldBeTrue();
        (await Queue.LastFiredAsync("nightly", Token)).ShouldBe(slot.AddDays(1));
        (await LeaseAsync(10)).Jobs.Count.ShouldBe(2);
    }

    private async Task<Enqueued> AddUniqueAsync(string key) =>
        (await Queue.EnqueueAsync([new JobDraft { Type = "sync", UniqueKey = key }], Durability.Server, Token)).Single();
}
