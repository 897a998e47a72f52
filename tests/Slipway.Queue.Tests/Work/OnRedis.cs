using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Work;

/// <summary>The whole way: program, worker, real Redis.</summary>
public sealed class OnRedis : IAsyncLifetime
{
    private readonly List<IAsyncDisposable> opened = [];
    private RedisFixture server = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => server = await RedisFixture.StartAsync(Token, tcp: true, durable: true);

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable one in Enumerable.Reverse(opened))
        {
            await one.DisposeAsync();
        }

        await server.DisposeAsync();
    }

    [Fact]
    public async Task The_ten_lines_do_what_they_say_and_stop_on_SIGTERM()
    {
        var start = new ProcessStartInfo(Repo.File("artifacts/bin/TenLines/debug/TenLines"), [$"127.0.0.1:{server.Port}"]) { RedirectStandardOutput = true };
        using Process program = Process.Start(start)!;
        try
        {
            var lines = new List<string>();
            while (lines.Count < 5 && await program.StandardOutput.ReadLineAsync(Token).AsTask().WaitAsync(Eventually.DefaultDeadline, Token) is { } line)
            {
                lines.Add(line);
            }

            lines.Order().ShouldBe(["imported one", "imported three", "imported two", "mail to a@b.c", "the import is complete"]);
            using Process kill = Process.Start("/bin/sh", ["-c", string.Create(CultureInfo.InvariantCulture, $"kill -TERM {program.Id}")]);
            await program.WaitForExitAsync(Token).WaitAsync(Eventually.DefaultDeadline, Token);
            program.ExitCode.ShouldBe(0);
        }
        finally
        {
            program.Kill(entireProcessTree: true);
        }

        QueueStats stats = await (await AdminAsync("default")).StatsAsync(Token);
        (stats.ReadyTotal, stats.Leased, stats.Delayed).ShouldBe((0, 0, 1));
    }

    [Fact]
    public async Task No_job_is_lost_when_redis_is_killed_under_load()
    {
        const int jobs = 4000;
        WorkQueue queue = await OpenAsync(o => o with { Concurrency = 20 });
        var runs = new ConcurrentDictionary<Guid, int>();
        var completed = new ConcurrentDictionary<Guid, bool>();
        queue.Handle<Greeting>(async (job, cancellationToken) =>
        {
            int run = runs.AddOrUpdate(job.Id, 1, (_, count) => count + 1);
            await Task.Yield();
            if (job.Args.Times % 10 == 0 && run == 1)
            {
                throw new InvalidOperationException("once");
            }

            completed[job.Id] = true;
        }, o => o.Retries(5, "50ms", "100ms"));
        await queue.StartAsync(Token);
        var added = new ConcurrentBag<Guid>();
        Task producing = Parallel.ForEachAsync(Enumerable.Range(0, jobs), new ParallelOptions { MaxDegreeOfParallelism = 50, CancellationToken = Token }, async (i, cancellationToken) =>
        {
            try
            {
                added.Add((await queue.EnqueueAsync(new Greeting("x", i), cancellationToken: cancellationToken)).Id);
            }
            catch (RespConnectionException)
            {
                // Not acknowledged: may be there or not.
            }
        });
        await Eventually.TrueAsync(() => completed.Count > jobs / 4, Token);
        await server.KillAsync(Token);
        await server.RestartAsync(Token);
        await producing;
        added.Count.ShouldBeGreaterThan(jobs / 2);
        RedisBroker admin = await AdminAsync("work");
        await Eventually.PassesAsync(
            async token =>
            {
                added.Count(id => !completed.ContainsKey(id)).ShouldBe(0);
                QueueStats stats = await admin.StatsAsync(token);
                (stats.ReadyTotal, stats.Leased, stats.Delayed, stats.Dead).ShouldBe((0, 0, 0, 0));
            },
            Token,
            TimeSpan.FromSeconds(60));
        queue.SinceProgress.ShouldBeLessThan(TimeSpan.FromSeconds(3));
    }

    [Fact]
    public async Task Jobs_of_a_worker_that_is_gone_run_elsewhere_after_their_lease()
    {
        WorkQueue producer = await OpenAsync();
        await producer.EnqueueManyAsync(Enumerable.Repeat(new JobDraft { Type = "test" }, 10), cancellationToken: Token);
        await producer.Broker.FetchAsync(new FetchRequest(10, TimeSpan.FromSeconds(1), []), Token);
        WorkQueue worker = await OpenAsync();
        int done = 0;
        worker.Handle("test", (_, _, _) =>
        {
            Interlocked.Increment(ref done);
            return Task.CompletedTask;
        });
        await worker.StartAsync(Token);
        await Eventually.TrueAsync(() => done == 10, Token);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task An_idle_worker_sends_at_most_one_command_a_second()
    {
        WorkQueue queue = await OpenAsync();
        queue.Handle("test", (_, _, _) => Task.CompletedTask);
        IRespClient redis = await ConnectAsync();
        long opened = await ScriptsAsync(redis);
        await queue.StartAsync(Token);
        // A start looks for blocks of its own, fetches and reports, each with a script that may have to be loaded first: that is over then.
        await Eventually.TrueAsync(async _ => await ScriptsAsync(redis) >= opened + 6, Token);
        // Five polls of at least 1.1 s and a report have four pauses between them, wherever in one we began to count and however late we
        // see the last. bench/jobs measures the rate over 30 s.
        var since = Stopwatch.StartNew();
        long first = await ScriptsAsync(redis);
        await Eventually.TrueAsync(async _ => await ScriptsAsync(redis) >= first + 6, Token);
        since.Elapsed.TotalSeconds.ShouldBeGreaterThan(4.3);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Schedules_of_two_processes_fire_each_slot_once()
    {
        var slots = new ConcurrentQueue<DateTimeOffset>();
        for (int i = 0; i < 2; i++)
        {
            WorkQueue queue = await OpenAsync();
            queue.Cron("tick", "* * * * * *", new JobDraft { Type = "tick" });
            queue.Handle("tick", (job, _, _) =>
            {
                slots.Enqueue(job.EnqueuedAt);
                return Task.CompletedTask;
            });
            await queue.StartAsync(Token);
        }

        await Eventually.TrueAsync(() => slots.Count >= 4, Token);
        slots.Select(slot => slot.ToUnixTimeSeconds()).Distinct().Count().ShouldBe(slots.Count);
        slots.Max(slot => slot.Millisecond).ShouldBeLessThan(900);
    }

    [Fact]
    public async Task State_result_and_uniqueness_of_tracked_jobs_are_kept_by_the_server()
    {
        WorkQueue queue = await OpenAsync();
        queue.Handle<Greeting>((job, _) =>
        {
            job.SetResult(job.Args with { Text = "bye" });
            return Task.CompletedTask;
        });
        Enqueued first = await queue.EnqueueAsync(new Greeting("hello", 1), o => o.Track().Unique("one"), Token);
        Enqueued second = await queue.EnqueueAsync(new Greeting("hello", 2), o => o.Unique("one"), Token);
        (second.Outcome, second.Id).ShouldBe((EnqueueOutcome.Duplicate, first.Id));
        await queue.StartAsync(Token);
        JobStatus status = await Eventually.ValueAsync(
            async token => await queue.Broker.FindAsync(first.Id, token) is { State: JobState.Completed } found ? found : null, Token);
        System.Text.Encoding.UTF8.GetString(status.Result.Span).ShouldBe("""{"text":"bye","times":1}""");
        (await queue.EnqueueAsync(new Greeting("hello", 3), o => o.Unique("one"), Token)).Outcome.ShouldBe(EnqueueOutcome.Added);
    }

    [Fact]
    public async Task A_running_job_is_cancelled_over_the_server()
    {
        WorkQueue queue = await OpenAsync();
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        queue.Handle("test", async (_, _, cancellationToken) =>
        {
            started.SetResult();
            await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
        });
        await queue.StartAsync(Token);
        Guid id = (await queue.EnqueueAsync(new JobDraft { Type = "test", Track = true }, cancellationToken: Token)).Id;
        await started.Task.WaitAsync(Eventually.DefaultDeadline, Token);
        (await queue.Broker.CancelAsync(id, Token)).ShouldBeTrue();
        await Eventually.TrueAsync(async token => (await queue.Broker.FindAsync(id, token))!.State is JobState.Cancelled, Token);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task A_hundred_thousand_jobs_run_once_each_through_two_workers_and_a_stop()
    {
        const int jobs = 100_000;
        var runs = new int[jobs];
        int done = 0;
        WorkQueue[] workers = [await OpenAsync(), await OpenAsync()];
        foreach (WorkQueue worker in workers)
        {
            worker.Handle("count", (job, _, _) =>
            {
                Interlocked.Increment(ref runs[BitConverter.ToInt32(job.Payload.Span)]);
                Interlocked.Increment(ref done);
                return Task.CompletedTask;
            });
            await worker.StartAsync(Token);
        }

        Task<EnqueuedMany> producing = workers[0].EnqueueManyAsync(
            Enumerable.Range(0, jobs).Select(i => new JobDraft { Type = "count", Payload = BitConverter.GetBytes(i) }), cancellationToken: Token);
        await Eventually.TrueAsync(() => Volatile.Read(ref done) > jobs / 10, Token);
        // Nothing is lost, and nothing runs twice, when a worker stops in the midst of it.
        await workers[1].StopAsync(Token);
        (await producing).Added.ShouldBe(jobs);
        await Eventually.TrueAsync(() => Volatile.Read(ref done) >= jobs, Token, TimeSpan.FromSeconds(60));
        RedisBroker admin = await AdminAsync("work");
        await Eventually.TrueAsync(async token => (await admin.StatsAsync(token)).Totals["completed"] == jobs, Token);
        runs.ShouldAllBe(count => count == 1);
    }

    private async Task<WorkQueue> OpenAsync(Func<WorkQueueOptions, WorkQueueOptions>? configure = null)
    {
        WorkQueue queue = await WorkQueue.ConnectAsync(
            $"127.0.0.1:{server.Port}", o => (configure?.Invoke(o) ?? o) with { Queue = "work" }, Token);
        opened.Add(queue);
        return queue;
    }

    private async Task<IRespClient> ConnectAsync()
    {
        IRespClient redis = await RespClient.ConnectAsync(new RespOptions { Url = server.Url }, NullLogger.Instance, Token);
        opened.Add(redis);
        return redis;
    }

    private async Task<RedisBroker> AdminAsync(string queue) =>
        await RedisBroker.OpenAsync(await ConnectAsync(), queue, new BrokerOptions(), Token);

    private static async Task<long> ScriptsAsync(IRespClient redis)
    {
        string stats = (await redis.SendAsync(RespCommand.Of("INFO", "commandstats"), Token)).AsString();
        string? line = stats.Split("\r\n").FirstOrDefault(line => line.StartsWith("cmdstat_evalsha:", StringComparison.Ordinal));
        return line is null ? 0 : long.Parse(line.Split("calls=")[1].Split(',')[0], CultureInfo.InvariantCulture);
    }
}
