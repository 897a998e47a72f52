namespace Slipway.Queue.Tests.Work;

public sealed class Producing : WorkTest
{
    [Fact]
    public async Task A_lone_job_goes_out_at_once()
    {
        WorkQueue queue = Open();
        for (int i = 0; i < 3; i++)
        {
            await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        }

        Broker.Batches.ShouldBe([1, 1, 1]);
    }

    [Fact]
    public async Task What_comes_while_others_are_on_their_way_travels_together_and_in_order()
    {
        WorkQueue queue = Open();
        TaskCompletionSource answer = Signal();
        Broker.Before = _ => answer.Task;
        Task<Enqueued>[] all = [.. Enumerable.Range(0, 2501).Select(i => queue.EnqueueAsync(Draft($"job{i}"), cancellationToken: Token).AsTask())];
        answer.SetResult();
        Enqueued[] results = await Task.WhenAll(all);
        results.Select(result => result.Id).Distinct().Count().ShouldBe(2501);
        Broker.Batches.Sum().ShouldBe(2501);
        Broker.Batches.Count.ShouldBeLessThan(10);
        Broker.Batches.Max().ShouldBe(1000);
    }

    [Fact]
    public async Task Order_is_kept_by_a_caller_who_does_not_wait()
    {
        WorkQueue queue = Open();
        ValueTask<Enqueued>[] all = [.. Enumerable.Range(0, 500).Select(i => queue.EnqueueAsync(Draft($"job{i}"), cancellationToken: Token))];
        foreach (ValueTask<Enqueued> one in all)
        {
            await one;
        }

        FetchResult fetched = await Broker.FetchAsync(new FetchRequest(1000, TimeSpan.FromSeconds(1), []), Token);
        fetched.Blocks.Single().Jobs.Select(job => job.Type).ShouldBe(Enumerable.Range(0, 500).Select(i => $"job{i}"));
    }

    [Fact]
    public async Task Durabilities_travel_apart()
    {
        WorkQueue queue = Open();
        TaskCompletionSource answer = Signal();
        Broker.Before = _ => answer.Task;
        Task<Enqueued> plain = queue.EnqueueAsync(Draft(), cancellationToken: Token).AsTask();
        Task<Enqueued> durable = queue.EnqueueAsync(Draft(), Durability.Fsync, cancellationToken: Token).AsTask();
        Broker.Calls.Count.ShouldBe(2, "neither waits for the other");
        answer.SetResult();
        await Task.WhenAll(plain, durable);
    }

    [Fact]
    public async Task A_caller_may_leave_while_its_job_is_not_on_its_way()
    {
        WorkQueue queue = Open();
        TaskCompletionSource answer = Signal();
        Broker.Before = _ => answer.Task;
        Task<Enqueued> first = queue.EnqueueAsync(Draft("first"), cancellationToken: Token).AsTask();
        using var leaving = new CancellationTokenSource();
        Task<Enqueued> second = queue.EnqueueAsync(Draft("second"), cancellationToken: leaving.Token).AsTask();
        Task<Enqueued> third = queue.EnqueueAsync(Draft("third"), cancellationToken: Token).AsTask();
        await leaving.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(second);
        answer.SetResult();
        await first;
        await third;
        Broker.ReadyCount.ShouldBe(2);
    }

    [Fact]
    public async Task An_enqueue_waits_for_room()
    {
        Broker.MaxJobs = 3;
        WorkQueue queue = Open();
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 3), cancellationToken: Token);
        Task<Enqueued> waiting = queue.EnqueueAsync(Draft(), cancellationToken: Token).AsTask();
        await Time.WaitForTimersAsync(1, Token);
        waiting.IsCompleted.ShouldBeFalse();
        Broker.MaxJobs = 4;
        await AdvanceUntilAsync(() => waiting.IsCompleted, TimeSpan.FromMilliseconds(20));
        await waiting;
    }

    [Fact]
    public async Task A_large_call_goes_in_as_far_as_there_is_room()
    {
        Broker.MaxJobs = 300;
        WorkQueue queue = Open();
        Task<EnqueuedMany> many = queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 1000), cancellationToken: Token);
        await AdvanceUntilAsync(() => Broker.ReadyCount == 300, TimeSpan.FromMilliseconds(20));
        Broker.MaxJobs = 1000;
        await AdvanceUntilAsync(() => many.IsCompleted, TimeSpan.FromMilliseconds(20));
        (await many).Added.ShouldBe(1000);
    }

    [Fact]
    public async Task Waiting_for_room_has_an_end()
    {
        Broker.MaxJobs = 0;
        WorkQueue queue = Open();
        Task<Enqueued> waiting = queue.EnqueueAsync(Draft(), cancellationToken: Token).AsTask();
        DateTimeOffset start = Time.GetUtcNow();
        await AdvanceUntilAsync(() => waiting.IsCompleted, TimeSpan.FromMilliseconds(250));
        await Should.ThrowAsync<QueueFullException>(waiting);
        (Time.GetUtcNow() - start).ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(29));
    }

    [Fact]
    public async Task A_full_queue_can_reject_or_shed()
    {
        Broker.MaxJobs = 0;
        WorkQueue queue = Open();
        await Should.ThrowAsync<QueueFullException>(queue.EnqueueAsync(new Greeting("x", 1), o => o.WhenFull(WhenFull.Reject), Token).AsTask());
        (await queue.EnqueueAsync(new Greeting("x", 1), o => o.WhenFull(WhenFull.Shed), Token)).Id.ShouldBe(Guid.Empty);
        EnqueuedMany many = await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 5), whenFull: WhenFull.Shed, cancellationToken: Token);
        (many.Added, many.Shed).ShouldBe((0, 5));
    }

    [Fact]
    public async Task Beyond_the_bound_callers_wait_until_some_are_on_their_way()
    {
        WorkQueue queue = Open(o => o with { MaxGathered = 100 });
        TaskCompletionSource answer = Signal();
        Broker.Before = _ => answer.Task;
        Task<Enqueued>[] all = [.. Enumerable.Range(0, 1000).Select(_ => queue.EnqueueAsync(Draft(), cancellationToken: Token).AsTask())];
        answer.SetResult();
        await Task.WhenAll(all);
        Broker.ReadyCount.ShouldBe(1000);
        Broker.Batches.Max().ShouldBeLessThanOrEqualTo(100);
    }

    [Fact]
    public async Task A_job_that_is_refused_does_not_fail_its_neighbours()
    {
        WorkQueue queue = Open();
        TaskCompletionSource answer = Signal();
        Broker.Before = _ => answer.Task;
        Task<Enqueued> first = queue.EnqueueAsync(Draft(), cancellationToken: Token).AsTask();
        Task<Enqueued>[] rest = [.. Enumerable.Range(0, 5).Select(i => queue.EnqueueAsync(Draft($"job{i}"), cancellationToken: Token).AsTask())];
        int calls = 0;
        // The second call carries five jobs, one of which (the third of the single ones) is no good.
        Broker.Before = _ => Interlocked.Increment(ref calls) is 1 or 4 ? throw new ArgumentException("bad job") : Task.CompletedTask;
        answer.SetResult();
        await first;
        for (int i = 0; i < 5; i++)
        {
            if (i == 2)
            {
                await Should.ThrowAsync<ArgumentException>(rest[i]);
            }
            else
            {
                await rest[i];
            }
        }
    }

    [Fact]
    public async Task A_batch_is_opened_filled_and_closed()
    {
        WorkQueue queue = Open();
        EnqueuedMany many = await queue.EnqueueManyAsync(
            Enumerable.Range(0, 2500).Select(i => new Greeting("x", i)), batch: b => b.OnComplete(new Greeting("done", 0)), cancellationToken: Token);
        many.Added.ShouldBe(2500);
        many.Batch.ShouldNotBeNull();
        Broker.Calls.ShouldBe(["open greet", "enqueue", "enqueue", "enqueue", "close"]);
        FetchResult fetched = await Broker.FetchAsync(new FetchRequest(1000, TimeSpan.FromSeconds(1), []), Token);
        fetched.Blocks.Single().Jobs.ShouldAllBe(job => job.Batch == many.Batch);
    }

    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("30s", 30_000)]
    [InlineData("1.5m", 90_000)]
    [InlineData("1h30m", 5_400_000)]
    [InlineData("7d", 604_800_000)]
    public void Durations_are_read(string text, double milliseconds) => Duration.Parse(text).Value.TotalMilliseconds.ShouldBe(milliseconds);

    [Theory]
    [InlineData("")]
    [InlineData("30")]
    [InlineData("s")]
    [InlineData("-3s")]
    [InlineData("3 s")]
    [InlineData("3x")]
    [InlineData("999999999999d")]
    public void What_is_no_duration_is_refused(string text) => Should.Throw<FormatException>(() => Duration.Parse(text)).Message.ShouldContain("30s");
}
