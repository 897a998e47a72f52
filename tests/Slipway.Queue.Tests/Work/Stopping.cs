using Slipway.Testing;

namespace Slipway.Queue.Tests.Work;

/// <summary>Graceful stops, and faults of the broker.</summary>
public sealed class Stopping : WorkTest
{
    [Fact]
    public async Task A_stop_finishes_running_jobs_and_gives_unstarted_ones_back()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 2 });
        TaskCompletionSource finish = Signal();
        int started = 0;
        queue.Handle("test", (_, _, _) =>
        {
            Interlocked.Increment(ref started);
            return finish.Task;
        });
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 10), cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => started == 2, Token);
        Task stopped = queue.StopAsync(Token);
        await Eventually.TrueAsync(() => Broker.ReadyCount == 8, Token);
        stopped.IsCompleted.ShouldBeFalse();
        finish.SetResult();
        await AdvanceUntilAsync(() => stopped.IsCompleted, TimeSpan.FromMilliseconds(5));
        started.ShouldBe(2);
        (Broker.Done.Count, Broker.BlockCount).ShouldBe((2, 0));
        Broker.Ended.ShouldAllBe(end => end.End.Kind == JobEndKind.Released);
    }

    [Fact]
    public async Task Handlers_that_do_not_finish_in_time_are_cancelled_and_their_jobs_given_back()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 2 });
        TaskCompletionSource ignores = Signal();
        int started = 0;
        queue.Handle("obeys", async (_, _, cancellationToken) =>
        {
            Interlocked.Increment(ref started);
            await Signal().Task.WaitAsync(cancellationToken);
        });
        queue.Handle("ignores", (_, _, _) =>
        {
            Interlocked.Increment(ref started);
            return ignores.Task;
        });
        await queue.EnqueueManyAsync([Draft("obeys"), Draft("ignores")], cancellationToken: Token);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => started == 2, Token);
        DateTimeOffset before = Time.GetUtcNow();
        Task stopped = queue.StopAsync(Token);
        await AdvanceUntilAsync(() => Broker.Ended.Count == 1, TimeSpan.FromSeconds(1));
        (Time.GetUtcNow() - before).ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(20));
        await AdvanceUntilAsync(() => stopped.IsCompleted, TimeSpan.FromMilliseconds(500));
        Broker.Ended.Count.ShouldBe(2);
        Broker.Ended.ShouldAllBe(end => end.End.Kind == JobEndKind.Released);
        (Broker.ReadyCount, Broker.BlockCount).ShouldBe((2, 0));
        ignores.SetResult();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_a_fetch_under_way_leases_goes_back_at_a_stop(bool answerIsLost)
    {
        WorkQueue queue = Open();
        int started = 0;
        queue.Handle("test", (_, _, _) =>
        {
            Interlocked.Increment(ref started);
            return Task.CompletedTask;
        });
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Fetches.Count == 1, Token);
        TaskCompletionSource slow = Signal();
        bool isLost = answerIsLost;
        Broker.Before = call => call == "fetch" ? slow.Task : Task.CompletedTask;
        Broker.After = call =>
        {
            if (call == "fetch" && Broker.BlockCount > 0 && Interlocked.Exchange(ref isLost, false))
            {
                throw new IOException("cut before the answer");
            }
        };
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 5), cancellationToken: Token);
        await Eventually.TrueAsync(() => Broker.Calls.Count(call => call == "fetch") == 2, Token);
        Task stopped = queue.StopAsync(Token);
        slow.SetResult();
        await AdvanceUntilAsync(() => stopped.IsCompleted, TimeSpan.FromMilliseconds(5));
        (Broker.ReadyCount + Broker.Done.Count, Broker.BlockCount, isLost).ShouldBe((5, 0, false));
        Broker.Done.Count.ShouldBe(started);
    }

    [Fact]
    public async Task A_queue_can_be_started_again()
    {
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        for (int i = 1; i <= 3; i++)
        {
            await queue.StartAsync(Token);
            await queue.EnqueueAsync(Draft(), cancellationToken: Token);
            await Eventually.TrueAsync(() => Broker.Done.Count == i, Token);
            await queue.StopAsync(Token);
        }
    }

    [Fact]
    public async Task A_fetch_whose_answer_is_lost_is_recovered()
    {
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        int cut = 0;
        Broker.After = call =>
        {
            if (call == "fetch" && Broker.BlockCount > 0 && Interlocked.Exchange(ref cut, 1) == 0)
            {
                throw new IOException("cut before the answer");
            }
        };
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft(), 5), cancellationToken: Token);
        await queue.StartAsync(Token);
        await AdvanceUntilAsync(() => Broker.Done.Count == 5, TimeSpan.FromMilliseconds(50));
        cut.ShouldBe(1);
        Broker.Calls.Count(call => call == "recover").ShouldBe(2, "at the start, and after the cut");
    }

    [Fact]
    public async Task Every_loop_goes_on_after_an_outage_and_readiness_tells()
    {
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        await queue.StartAsync(Token);
        await Eventually.TrueAsync(() => Broker.Fetches.Count == 1, Token);
        bool down = true;
        Broker.Before = call => Volatile.Read(ref down) && call != "enqueue" ? throw new IOException("down") : Task.CompletedTask;
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft() with { Track = true }, 10), cancellationToken: Token);
        int before = Broker.Calls.Count;
        await AdvanceUntilAsync(() => queue.SinceProgress > TimeSpan.FromSeconds(30), TimeSpan.FromMilliseconds(100));
        // Backed off to a second with jitter: no storm, and no end either.
        (Broker.Calls.Count - before).ShouldBeInRange(10, 120);
        Volatile.Write(ref down, false);
        await AdvanceUntilAsync(() => Broker.Ended.Count == 10, TimeSpan.FromMilliseconds(100));
        queue.SinceProgress.ShouldBeLessThan(TimeSpan.FromSeconds(3));
    }

    [Fact]
    public async Task Acks_that_get_no_answer_are_told_again()
    {
        WorkQueue queue = Open(o => o with { Concurrency = 2 });
        TaskCompletionSource slow = Signal();
        int started = 0, failed = 0;
        Broker.Before = call => call == "ack" && Interlocked.Increment(ref failed) <= 3 ? throw new IOException("cut") : Task.CompletedTask;
        queue.Handle("test", (_, _, _) => Interlocked.Increment(ref started) == 1 ? slow.Task : Task.CompletedTask);
        await queue.EnqueueManyAsync([Draft(), Draft()], cancellationToken: Token);
        await queue.StartAsync(Token);
        await AdvanceUntilAsync(() => Broker.Done.Count == 1, TimeSpan.FromMilliseconds(5));
        failed.ShouldBe(4);
        slow.SetResult();
        await Eventually.TrueAsync(() => Broker.Done.Count == 2, Token);
    }

    [Fact]
    public async Task Settlements_are_tried_until_they_are_told()
    {
        WorkQueue queue = Open();
        int failed = 0;
        Broker.Before = call => call == "settle" && Interlocked.Increment(ref failed) <= 3 ? throw new IOException("cut") : Task.CompletedTask;
        queue.Handle("test", (_, _, _) => throw new InvalidOperationException());
        await queue.EnqueueAsync(Draft(), cancellationToken: Token);
        await queue.StartAsync(Token);
        await AdvanceUntilAsync(() => Broker.Ended.Count == 1, TimeSpan.FromMilliseconds(50));
        failed.ShouldBe(4);
    }

    [Fact]
    public async Task Expired_blocks_of_others_are_put_back_and_run()
    {
        await Broker.EnqueueAsync([Draft()], Durability.Server, Token);
        await Broker.FetchAsync(new FetchRequest(1, TimeSpan.FromSeconds(5), []), Token);
        WorkQueue queue = Open();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        // The worker would recover it as its own: it is somebody else's.
        Broker.Before = call => call == "recover" ? Task.FromException(new IOException("not now")) : Task.CompletedTask;
        Time.Advance(TimeSpan.FromSeconds(6));
        Broker.Before = _ => Task.CompletedTask;
        Broker.Wake();
        await queue.StartAsync(Token);
        await AdvanceUntilAsync(() => Broker.Done.Count == 1, TimeSpan.FromMilliseconds(100));
    }
}
