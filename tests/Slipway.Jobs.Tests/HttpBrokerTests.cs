using Shouldly;
using Slipway.Queue;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>The library over HTTP: the same program that runs on Redis runs on a server.</summary>
public sealed class HttpBrokerTests(JobsServer server) : IClassFixture<JobsServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Program_of_the_library_works_over_http()
    {
        var queue = await server.QueueAsync("""{"retry":{"maxAttempts":3,"firstDelayMs":10,"maxDelayMs":10}}""");
        using var client = server.ApiClient(server.Member);
        await using var broker = new HttpBroker(client, "acme", queue.Name);
        await using var work = new WorkQueue(broker);
        var done = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var runs = 0;
        work.Handle<Greeting>((job, _) =>
        {
            if (Interlocked.Increment(ref runs) == 1)
            {
                throw new InvalidOperationException("the first time always fails");
            }

            done.TrySetResult(job.Args.Number);
            return Task.CompletedTask;
        });
        await work.StartAsync(CancellationToken);
        await work.EnqueueAsync(new Greeting(7), cancellationToken: CancellationToken);
        (await done.Task.WaitAsync(TimeSpan.FromSeconds(60), CancellationToken)).ShouldBe(7);
        await Eventually.TrueAsync(async _ => await queue.TotalAsync("completed") == 1, CancellationToken);
        await work.StopAsync(CancellationToken);
        (await queue.StatsAsync())["leased"]!.GetValue<long>().ShouldBe(0);
    }

    [Fact]
    public async Task Transitions_of_the_broker_are_those_of_redis()
    {
        var queue = await server.QueueAsync("""{"maxJobs":5}""");
        using var client = server.ApiClient(server.Member);
        await using var broker = new HttpBroker(client, "acme", queue.Name, "w1");
        var added = await broker.EnqueueAsync(
            [new JobDraft { Type = "a", Payload = new byte[] { 0, 255 } }, new JobDraft { Type = "b", UniqueKey = "k" }, new JobDraft { Type = "b", UniqueKey = "k" }, new JobDraft { Type = "c", Track = true }],
            Durability.Server, CancellationToken);
        added.Select(one => one.Outcome).ShouldBe([EnqueueOutcome.Added, EnqueueOutcome.Added, EnqueueOutcome.Duplicate, EnqueueOutcome.Added]);
        (await Should.ThrowAsync<QueueFullException>(() => broker.EnqueueAsync([.. Enumerable.Repeat(new JobDraft { Type = "x" }, 3)], Durability.Server, CancellationToken))).Bound.ShouldBe("depth");

        var block = (await broker.FetchAsync(new FetchRequest(10, TimeSpan.FromSeconds(30), []), CancellationToken)).Blocks.ShouldHaveSingleItem();
        block.Jobs[0].Payload.ToArray().ShouldBe([0, 255]);
        (await broker.ExtendAsync([block.Id], TimeSpan.FromSeconds(30), CancellationToken)).ShouldBe([true]);
        (await broker.ProgressAsync(added[3].Id, 50, "half", CancellationToken)).ShouldBeTrue();
        (await broker.AckAsync([new BlockAck(block.Id, new byte[] { 0b011 })], CancellationToken)).ShouldBe([true]);
        (await broker.SettleAsync(block.Id, [new JobEnd(2, JobEndKind.Completed, Result: new byte[] { 1, 2 })], CancellationToken)).ShouldBeTrue();
        (await broker.AckAsync([new BlockAck(block.Id, new byte[] { 1 })], CancellationToken)).ShouldBe([false]);
        var job = (await broker.FindAsync(added[3].Id, CancellationToken)).ShouldNotBeNull();
        job.State.ShouldBe(JobState.Completed);
        job.Result.ToArray().ShouldBe([1, 2]);
        (await broker.FindAsync(Guid.NewGuid(), CancellationToken)).ShouldBeNull();
        (await broker.CancelAsync(added[3].Id, CancellationToken)).ShouldBeFalse();
        (await broker.EnqueueAsync([new JobDraft { Type = "b", UniqueKey = "k" }], Durability.Server, CancellationToken))[0].Outcome.ShouldBe(EnqueueOutcome.Added);
    }

    [Fact]
    public async Task Slot_of_a_schedule_is_fired_by_one_of_many_programs()
    {
        var queue = await server.QueueAsync();
        using var client = server.ApiClient(server.Member);
        var slot = new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);
        for (var i = 0; i < 3; i++)
        {
            await using var broker = new HttpBroker(client, "acme", queue.Name);
            await broker.FireAsync("nightly", slot, new JobDraft { Type = "t" }, CancellationToken);
            await broker.FireAsync("nightly", slot.AddDays(1), new JobDraft { Type = "t" }, CancellationToken);
            (await broker.FireAsync("nightly", slot, new JobDraft { Type = "t" }, CancellationToken)).ShouldBeFalse();
        }

        (await queue.StatsAsync())["readyTotal"]!.GetValue<long>().ShouldBe(2);
    }

    [Fact]
    public async Task Wake_comes_without_polling_and_cancellation_is_told_once()
    {
        var queue = await server.QueueAsync();
        using var client = server.ApiClient(server.Member);
        await using var broker = new HttpBroker(client, "acme", queue.Name);
        var cancelled = new List<Guid>();
        broker.CancelRequested += cancelled.Add;
        var wake = broker.NextWake;
        await wake.WaitAsync(TimeSpan.FromSeconds(30), CancellationToken);
        await broker.FetchAsync(new FetchRequest(1, TimeSpan.FromSeconds(30), []), CancellationToken);
        wake = broker.NextWake;
        var id = await queue.EnqueueAsync("""{"type":"t","track":true}""");
        await wake.WaitAsync(TimeSpan.FromSeconds(30), CancellationToken);
        var block = (await broker.FetchAsync(new FetchRequest(1, TimeSpan.FromSeconds(30), []), CancellationToken)).Blocks.ShouldHaveSingleItem();
        await queue.PostAsync($"/jobs/{id}/cancel", null);
        await Eventually.TrueAsync(async token => (await broker.ExtendAsync([block.Id], TimeSpan.FromSeconds(30), token))[0] && cancelled.Count > 0, CancellationToken);
        await broker.ExtendAsync([block.Id], TimeSpan.FromSeconds(30), CancellationToken);
        cancelled.ShouldBe([id]);
    }

    private sealed record Greeting(int Number);
}
