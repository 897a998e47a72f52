using System.Collections.Concurrent;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Work;

public sealed class RunningJobs : WorkTest
{
    [Fact]
    public async Task Handlers_get_arguments_as_they_were_enqueued()
    {
        WorkQueue queue = Open();
        var seen = new ConcurrentQueue<Job<Greeting>>();
        queue.Handle<Greeting>((job, _) =>
        {
            seen.Enqueue(job);
            return Task.CompletedTask;
        });
        Enqueued added = await queue.EnqueueAsync(new Greeting("hello", 3), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => seen.Count == 1, Token);
        Job<Greeting> job = seen.Single();
        job.Args.ShouldBe(new Greeting("hello", 3));
        job.Id.ShouldBe(added.Id);
        job.Attempt.ShouldBe(1);
        job.Token.ShouldBe(1);
        job.Context.Job.Type.ShouldBe("greet");
        await Eventually.TrueAsync(() => Broker.Done.Contains(added.Id), Token);
    }

    [Fact]
    public async Task A_job_enqueued_while_the_worker_is_idle_starts_without_a_poll()
    {
        WorkQueue queue = Open();
        TaskCompletionSource ran = Signal();
        queue.Handle("test", (_, _, _) =>
        {
            ran.SetResult();
            return Task.CompletedTask;
        });
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Fetches.Count == 1, Token);
        await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        await ran.Task.WaitAsync(Eventually.DefaultDeadline, Token);
    }

    [Fact]
    public async Task Finished_blocks_are_closed_by_the_next_fetch_without_a_call_of_their_own()
    {
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 5000), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Done.Count == 5000, Token);
        Broker.Done.Distinct().Count().ShouldBe(5000);
        Broker.Calls.ShouldNotContain("settle");
        Broker.Calls.ShouldNotContain("ack");
        Broker.BlockCount.ShouldBe(0);
    }

    [Fact]
    public async Task A_done_job_of_a_running_block_is_acked_after_the_window_and_not_before()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 2 });
        TaskCompletionSource slow = Signal();
        int started = 0;
        queue.Handle("test", (_, _, _) => Interlocked.Increment(ref started) == 1 ? slow.Task : Task.CompletedTask);
        await queue.EnqueueManyAsync([Draft(), Draft()], cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => started == 2, Token);
        Broker.Calls.ShouldNotContain("ack");
        await AdvanceUntilAsync(() => Broker.Done.Count == 1, TimeSpan.FromMilliseconds(1));
        Broker.Calls.Count(call => call == "ack").ShouldBe(1);
        slow.SetResult();
        await Eventually.TrueAsync(() => Broker.Done.Count == 2 && Broker.BlockCount == 0, Token);
    }

    [Fact]
    public async Task Many_done_jobs_of_running_blocks_are_acked_in_one_call_per_window()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 100 });
        TaskCompletionSource slow = Signal();
        int started = 0;
        queue.Handle("test", (_, _, _) => Interlocked.Increment(ref started) == 50 ? slow.Task : Task.CompletedTask);
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 100), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => started == 100, Token);
        await AdvanceUntilAsync(() => Broker.Done.Count == 99, TimeSpan.FromMilliseconds(5));
        Broker.Calls.Count(call => call == "ack").ShouldBeLessThanOrEqualTo(2);
        slow.SetResult();
    }

    [Fact]
    public async Task A_type_keeps_to_its_concurrency_and_leaves_the_rest_to_others()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 10 });
        TaskCompletionSource release = Signal();
        int narrow = 0, most = 0, wide = 0;
        queue.Handle("narrow", async (_, _, _) =>
        {
            int now = Interlocked.Increment(ref narrow);
            InterlockedMax(ref most, now);
            await release.Task;
            Interlocked.Decrement(ref narrow);
        }, o => o.Concurrency(3));
        queue.Handle("wide", (_, _, _) =>
        {
            Interlocked.Increment(ref wide);
            return Task.CompletedTask;
        });
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft("narrow"), 8).Concat(Enumerable.Repeat(Draft("wide"), 20)), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => wide == 20 && narrow == 3, Token);
        release.SetResult();
        await Eventually.TrueAsync(() => Broker.Done.Count == 28, Token);
        most.ShouldBe(3);
    }

    [Fact]
    public async Task Slots_survive_every_way_a_handler_can_fail()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 4 });
        queue.Handle("throws", (_, _, _) => throw new InvalidOperationException("at once"));
        queue.Handle("fails", async (_, _, _) =>
        {
            await Task.Yield();
            throw new InvalidOperationException("later");
        });
        queue.Handle("cancels", (_, _, _) => Task.FromCanceled(new CancellationToken(true)));
        queue.Handle("null", (_, _, _) => null!);
        TaskCompletionSource gate = Signal();
        int together = 0;
        queue.Handle("together", (_, _, _) =>
        {
            if (Interlocked.Increment(ref together) == 4)
            {
                gate.SetResult();
            }

            return gate.Task;
        });
        await queue.EnqueueManyAsync(Enumerable.Range(0, 400).Select(i => Draft(((string[])["throws", "fails", "cancels", "null"])[i % 4])), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == 400, Token);
        Broker.Ended.ShouldAllBe(end => end.End.Kind == JobEndKind.Failed);
        // All four slots are still there: these four only end when all of them run at once.
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft("together"), 4), cancellationToken: Token);
        await gate.Task.WaitAsync(Eventually.DefaultDeadline, Token);
    }

    [Fact]
    public async Task A_worker_with_slow_jobs_takes_nothing_ahead()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 2 });
        var running = new ConcurrentQueue<TaskCompletionSource>();
        queue.Handle("test", (_, _, _) =>
        {
            TaskCompletionSource job = Signal();
            running.Enqueue(job);
            return job.Task;
        });
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 40), cancellationToken: Token);
        await queue.StartAsync(Token);
        for (int i = 0; i < 10; i++)
        {
            await Eventually.TrueAsync(() => running.Count == 2, Token);
            Time.Advance(TimeSpan.FromMilliseconds(400));
            while (running.TryDequeue(out TaskCompletionSource? job))
            {
                job.SetResult();
            }
        }

        await Eventually.TrueAsync(() => running.Count == 2, Token);
        // What was learned on the way: one per free slot, and no more.
        Broker.Fetches.Where(fetch => fetch.Max > 0).Last().Max.ShouldBeLessThanOrEqualTo(2);
        Broker.ReadyCount.ShouldBe(18);
    }

    [Fact]
    public async Task Unstarted_jobs_behind_slow_ones_go_back()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 1 });
        TaskCompletionSource slow = Signal();
        int started = 0;
        queue.Handle("test", (_, _, _) => Interlocked.Increment(ref started) == 1 ? slow.Task : Task.CompletedTask);
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 20), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => started == 1, Token);
        Broker.ReadyCount.ShouldBeLessThan(19);
        await AdvanceUntilAsync(() => Broker.ReadyCount == 19, TimeSpan.FromMilliseconds(20));
        Broker.Ended.ShouldAllBe(end => end.End.Kind == JobEndKind.Released);
        slow.SetResult();
        await AdvanceUntilAsync(() => Broker.Done.Count == 20, TimeSpan.FromMilliseconds(20));
    }

    [Fact]
    public async Task An_idle_worker_calls_its_broker_at_most_once_a_second()
    {
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Fetches.Count == 1 && Broker.Reports.Count == 1, Token);
        int before = Broker.Calls.Count;
        for (int i = 0; i < 60 * 20; i++)
        {
            Time.Advance(TimeSpan.FromMilliseconds(50));
            // The loops run on other threads: give them their turn, or they would see seconds as one moment.
            await Task.Yield();
        }

        Time.Advance(TimeSpan.FromSeconds(1));
        (Broker.Calls.Count - before).ShouldBeInRange(6, 61);
        await AdvanceUntilAsync(() => queue.SinceProgress < TimeSpan.FromSeconds(2), TimeSpan.FromMilliseconds(50));
    }

    [Fact]
    public async Task A_delayed_job_starts_when_it_is_due()
    {
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        await queue.EnqueueAsync(Draft() with { Delay = TimeSpan.FromMilliseconds(700) }, cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Fetches.Count == 1, Token);
        DateTimeOffset start = Time.GetUtcNow();
        await AdvanceUntilAsync(() => Broker.Done.Count == 1, TimeSpan.FromMilliseconds(10));
        (Time.GetUtcNow() - start).TotalMilliseconds.ShouldBeGreaterThanOrEqualTo(700);
    }

    [Fact]
    public async Task Ends_of_one_block_travel_together_while_one_is_on_its_way()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 20 });
        TaskCompletionSource first = Signal();
        TaskCompletionSource all = Signal();
        Broker.Before = call => call == "settle" ? first.Task : Task.CompletedTask;
        int ran = 0;
        queue.Handle("test", (_, _, _) =>
        {
            if (Interlocked.Increment(ref ran) == 20)
            {
                all.SetResult();
            }

            return Task.CompletedTask;
        });
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft() with { Track = true }, 20), cancellationToken: Token);
        await queue.StartAsync(Token);
        await all.Task.WaitAsync(Eventually.DefaultDeadline, Token);
        first.SetResult();
        await Eventually.TrueAsync(() => Broker.Ended.Count == 20, Token);
        Broker.Calls.Count(call => call == "settle").ShouldBeLessThanOrEqualTo(3);
        // The last settlement closed the block: no fetch may close it again.
        Broker.Fetches.ShouldAllBe(fetch => fetch.Finished.Count == 0);
    }

    [Fact]
    public async Task Progress_and_result_of_a_tracked_job_reach_the_broker()
    {
        WorkQueue queue = Open();
        queue.Handle<Greeting>(async (job, cancellationToken) =>
        {
            await job.ProgressAsync(40, "half way", cancellationToken);
            job.SetResult(new Greeting("bye", 1));
        });
        await queue.EnqueueAsync(new Greeting("hello", 3), o => o.Track(), Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == 1, Token);
        Broker.Progress.Single().Percent.ShouldBe(40);
        Broker.Ended.Single().End.Kind.ShouldBe(JobEndKind.Completed);
        System.Text.Encoding.UTF8.GetString(Broker.Ended.Single().End.Result.Span).ShouldBe("""{"text":"bye","times":1}""");
    }

    [Fact]
    public async Task A_handler_for_any_type_takes_what_has_no_other()
    {
        WorkQueue queue = Open();
        var seen = new ConcurrentQueue<string>();
        queue.Handle("one", (job, _, _) => Seen("own " + job.Type));
        queue.HandleAny((job, _, _) => Seen("any " + job.Type));
        await queue.EnqueueManyAsync([Draft("one"), Draft("two"), Draft("one"), Draft("three")], cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => seen.Count == 4, Token);
        seen.Order().ShouldBe(["any three", "any two", "own one", "own one"]);
        await Eventually.TrueAsync(() => Broker.Done.Count == 4, Token);
        await AdvanceUntilAsync(() => Broker.Reports.SelectMany(report => report.Counts).Sum(count => count.Value.Completed) == 4, TimeSpan.FromSeconds(1));
        // A report tells what is new since the one before: the two of a type may be in one or in two of them.
        Broker.Reports.SelectMany(report => report.Counts).GroupBy(count => count.Key, count => count.Value.Completed).Select(type => (type.Key, type.Sum())).Order()
            .ShouldBe([("one", 2L), ("three", 1L), ("two", 1L)]);

        Task Seen(string what)
        {
            seen.Enqueue(what);
            return Task.CompletedTask;
        }
    }

    [Fact]
    public void What_cannot_work_is_said_at_once()
    {
        WorkQueue queue = Open();
        Should.Throw<InvalidOperationException>(() => queue.StartAsync(Token)).Message.ShouldContain("add a handler");
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        Should.Throw<ArgumentException>(() => queue.Handle("test", (_, _, _) => Task.CompletedTask));
        Should.Throw<ArgumentException>(() => queue.Handle("with blank", (_, _, _) => Task.CompletedTask));
    }

    private static void InterlockedMax(ref int most, int now)
    {
        for (int seen = most; now > seen && Interlocked.CompareExchange(ref most, now, seen) != seen; seen = most)
        {
        }
    }
}

[JobType("greet")]
public sealed record Greeting(string Text, int Times);
