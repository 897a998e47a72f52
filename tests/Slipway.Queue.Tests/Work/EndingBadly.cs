using Slipway.Testing;

namespace Slipway.Queue.Tests.Work;

/// <summary>Failures, timeouts, cancellations, and what becomes of the jobs.</summary>
public sealed class EndingBadly : WorkTest
{
    [Fact]
    public async Task Without_rules_the_queue_decides() =>
        (await EndOfAsync(new InvalidOperationException("no"), null)).Kind.ShouldBe(JobEndKind.Failed);

    [Fact]
    public async Task A_failed_job_is_tried_again_after_a_pause_with_jitter()
    {
        JobEnd end = await EndOfAsync(new InvalidOperationException("no such luck"), o => o.Retries(5, "4s", "1m"));
        end.Kind.ShouldBe(JobEndKind.Retry);
        end.RetryAfter.ShouldBeInRange(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(4));
        end.Reason.ShouldBe("InvalidOperationException");
        end.Error.ShouldContain("no such luck");
    }

    [Fact]
    public async Task Errors_go_by_the_first_rule_that_fits()
    {
        void Rules(HandlerOptions o) => o.Retries(5, "1s").RetryOn<HttpRequestException>(20, "1h", "2h").GiveUpOn<ArgumentException>();
        (await EndOfAsync(new HttpRequestException("down"), Rules)).RetryAfter.ShouldBeGreaterThan(TimeSpan.FromMinutes(29));
        (await EndOfAsync(new ArgumentNullException("x"), Rules)).Kind.ShouldBe(JobEndKind.Dead);
        (await EndOfAsync(new InvalidOperationException(), Rules)).RetryAfter.ShouldBeLessThanOrEqualTo(TimeSpan.FromSeconds(1));
        JobEnd permanent = await EndOfAsync(new PermanentJobException("gone", new FileNotFoundException()), Rules);
        (permanent.Kind, permanent.Reason).ShouldBe((JobEndKind.Dead, "FileNotFoundException"));
    }

    [Fact]
    public async Task The_last_attempt_makes_a_dead_letter()
    {
        (await EndOfAsync(new InvalidOperationException(), o => o.Retries(0))).Kind.ShouldBe(JobEndKind.Dead);
        (await EndOfAsync(new InvalidOperationException(), o => o.Retries(5), Draft() with { MaxAttempts = 1 })).Kind.ShouldBe(JobEndKind.Dead);
    }

    [Fact]
    public async Task Retries_beyond_the_budget_are_postponed()
    {
        WorkQueue queue = Open(o => o with { RetryFloorPerSecond = 2 });
        queue.Handle("test", (_, _, _) => throw new InvalidOperationException(), o => o.Retries(5, "1s", "1h"));
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 50), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == 50, Token);
        Broker.Ended.Count(end => end.End.RetryAfter <= TimeSpan.FromSeconds(1)).ShouldBe(20, "ten seconds' worth of the floor");
        Broker.Ended.Count(end => end.End.RetryAfter >= TimeSpan.FromMinutes(30)).ShouldBe(30);
    }

    [Fact]
    public async Task Jobs_that_nobody_can_run_are_dead_with_their_reason()
    {
        WorkQueue queue = Open();
        queue.Handle<Greeting>((_, _) => Task.CompletedTask);
        Broker.AddReady(new Job { Id = Guid.CreateVersion7(), Type = "greet", Payload = default, Attempt = 1, Damage = "newer format" });
        await queue.EnqueueManyAsync([Draft("nobody"), Draft("greet") with { Payload = "{"u8.ToArray() }], cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == 3, Token);
        Broker.Ended.ShouldAllBe(end => end.End.Kind == JobEndKind.Dead);
        Broker.Ended.Select(end => end.End.Reason).Order().ShouldBe(["bad-args", "damaged", "no-handler"]);
    }

    [Fact]
    public async Task Unknown_types_can_be_left_to_others()
    {
        WorkQueue queue = Open(o => o with { UnknownJobs = UnknownJobs.Leave });
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        await queue.EnqueueAsync(Draft("nobody"), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == 1, Token);
        Broker.Ended.Single().End.Kind.ShouldBe(JobEndKind.Retry);
        Broker.Ended.Single().End.RetryAfter.ShouldBeInRange(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task A_run_over_its_time_is_cancelled_and_counts_as_failed()
    {
        WorkQueue queue = Open();
        CancelCause cause = default;
        TaskCompletionSource started = Signal();
        queue.Handle("test", async (_, context, cancellationToken) =>
        {
            started.TrySetResult();
            try
            {
                await Signal().Task.WaitAsync(cancellationToken);
            }
            finally
            {
                cause = context.Cause;
            }
        }, o => o.Timeout("2s").Retries(3));
        await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        await queue.StartAsync(Token);
        await started.Task.WaitAsync(Eventually.DefaultDeadline, Token);
        Time.Advance(TimeSpan.FromSeconds(1.9));
        Broker.Ended.ShouldBeEmpty();
        await AdvanceUntilAsync(() => Broker.Ended.Count == 1, TimeSpan.FromMilliseconds(20));
        (Broker.Ended.Single().End.Kind, Broker.Ended.Single().End.Reason).ShouldBe((JobEndKind.Retry, "timeout"));
        cause.ShouldBe(CancelCause.Timeout);
    }

    [Fact]
    public async Task A_handler_that_does_not_return_loses_its_job_and_its_slot_is_filled()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 1, CancelGrace = TimeSpan.FromSeconds(3) });
        TaskCompletionSource stuck = Signal();
        queue.Handle("stuck", (_, _, _) => stuck.Task, o => o.Timeout("1s").Retries(0));
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        await queue.EnqueueAsync(Draft("stuck"), cancellationToken: Token);
        await queue.StartAsync(Token);
        await AdvanceUntilAsync(() => Broker.Ended.Count == 1, TimeSpan.FromMilliseconds(100));
        Broker.Ended.Single().End.Kind.ShouldBe(JobEndKind.Dead);
        Broker.Ended.Single().End.Error.ShouldContain("may still run");
        await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        await AdvanceUntilAsync(() => Broker.Done.Count == 1, TimeSpan.FromMilliseconds(100));
        // Whatever the old handler comes back with is of no interest any more.
        stuck.SetResult();
        await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        await AdvanceUntilAsync(() => Broker.Done.Count == 2, TimeSpan.FromMilliseconds(100));
        Broker.Ended.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Leases_are_renewed_at_a_third_and_one_that_is_lost_cancels_its_handlers()
    {
        WorkQueue queue = Open(o => o with { Lease = TimeSpan.FromSeconds(9) });
        CancelCause cause = default;
        TaskCompletionSource started = Signal();
        TaskCompletionSource ended = Signal();
        int runs = 0;
        queue.Handle("test", async (_, context, cancellationToken) =>
        {
            if (Interlocked.Increment(ref runs) > 1)
            {
                return;
            }

            started.TrySetResult();
            try
            {
                await Signal().Task.WaitAsync(cancellationToken);
            }
            finally
            {
                cause = context.Cause;
                ended.SetResult();
            }
        });
        await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        await queue.StartAsync(Token);
        await started.Task.WaitAsync(Eventually.DefaultDeadline, Token);
        await AdvanceUntilAsync(() => Broker.Calls.Count(call => call == "extend") == 5, TimeSpan.FromMilliseconds(250));
        Broker.BlockCount.ShouldBe(1);
        Broker.Expire(Broker.Blocks.Single());
        await AdvanceUntilAsync(() => ended.Task.IsCompleted, TimeSpan.FromMilliseconds(250));
        cause.ShouldBe(CancelCause.LeaseLost);
        // The job is somebody else's now (here: ours again), and the first run's end was not told.
        await AdvanceUntilAsync(() => Broker.Done.Count == 1, TimeSpan.FromMilliseconds(250));
        Broker.Ended.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_running_job_can_be_cancelled_and_a_waiting_one_never_starts()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 1 });
        TaskCompletionSource started = Signal();
        int runs = 0;
        queue.Handle("test", async (_, _, cancellationToken) =>
        {
            Interlocked.Increment(ref runs);
            started.TrySetResult();
            await Signal().Task.WaitAsync(cancellationToken);
        });
        Guid first = Guid.CreateVersion7(), second = Guid.CreateVersion7();
        await queue.EnqueueManyAsync([Draft() with { Track = true, Id = first }, Draft() with { Track = true, Id = second }], cancellationToken: Token);
        await queue.StartAsync(Token);
        await started.Task.WaitAsync(Eventually.DefaultDeadline, Token);
        await Broker.CancelAsync(second, Token);
        await Broker.CancelAsync(first, Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == 2, Token);
        Broker.Ended.ShouldAllBe(end => end.End.Kind == JobEndKind.Cancelled);
        runs.ShouldBe(1);
    }

    private async Task<JobEnd> EndOfAsync(Exception error, Action<HandlerOptions>? configure, JobDraft? job = null)
    {
        int before = Broker.Ended.Count;
        await using var queue = new WorkQueue(Broker, new WorkQueueOptions { Time = Time });
        queue.Handle("test", (_, _, _) => Task.FromException(error), configure);
        await queue.EnqueueAsync(job ?? Draft(), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Ended.Count == before + 1, Token);
        return Broker.Ended.Last().End;
    }
}
