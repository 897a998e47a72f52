using Slipway.Queue.V1;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.QueueV1.Tests;

/// <summary><see cref="QueueWorker"/> from start to stop.</summary>
public sealed class Working : QueueTest
{
    private static readonly QueueWorkerOptions Quick = new()
    {
        ReapInterval = TimeSpan.FromMilliseconds(20),
        Retry = new RetryPolicy { MaxAttempts = 3, FirstDelay = TimeSpan.FromMilliseconds(1) },
    };

    [Fact]
    public async Task Two_workers_do_every_job_once()
    {
        var runs = new ConcurrentBag<string>();
        await using QueueWorker one = await StartAsync(Quick, Does(job => runs.Add(job.Id)));
        await using QueueWorker two = await StartAsync(Quick, Does(job => runs.Add(job.Id)));

        string[] ids = [.. Enumerable.Range(0, 100).Select(i => $"job{i}")];
        await Task.WhenAll(ids.Select(id => EnqueueAsync(id)));

        await DoneAsync(ids.Length);
        runs.ShouldBe(ids, ignoreOrder: true);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task A_job_whose_worker_was_killed_is_done_by_another()
    {
        await EnqueueAsync("a");
        Lease ofTheKilled = await LeaseAsync(TimeSpan.FromMilliseconds(50));
        var seen = new TaskCompletionSource<Job>();

        await using QueueWorker other = await StartAsync(Quick, Does(seen.SetResult));

        Job job = await seen.Task.WaitAsync(Token);
        (job.Attempt, job.LostLeases).ShouldBe((2, 1));
        await DoneAsync(1);
        (await Queue.CompleteAsync(ofTheKilled, Token)).ShouldBeFalse();
    }

    [Fact]
    public async Task A_long_job_keeps_its_lease_by_renewals()
    {
        var finish = new TaskCompletionSource();
        await using QueueWorker worker = await StartAsync(Quick with { Visibility = TimeSpan.FromMilliseconds(300) }, (_, _) => finish.Task);
        await EnqueueAsync("a");
        var deadlines = new HashSet<double>();

        await Eventually.TrueAsync(
            async _ => await SendAsync("ZSCORE", Key("leases"), "a") is { IsNull: false } score && deadlines.Add(score.AsDouble()) && deadlines.Count >= 6, Token);
        finish.SetResult();

        await DoneAsync(1);
        (await SendAsync("GET", Key("token"))).AsInteger().ShouldBe(1, "there was one lease only");
    }

    [Fact]
    public async Task A_failing_job_is_tried_again_until_it_succeeds()
    {
        var attempts = new ConcurrentQueue<int>();
        await using QueueWorker worker = await StartAsync(Quick, Does(job =>
        {
            attempts.Enqueue(job.Attempt);
            if (job.Attempt < 3)
            {
                throw new InvalidOperationException("not yet");
            }
        }));

        await EnqueueAsync("a");

        await DoneAsync(1);
        attempts.ShouldBe([1, 2, 3]);
    }

    [Fact]
    public async Task A_poison_job_becomes_a_dead_letter_with_its_reason_and_the_others_go_on()
    {
        await using QueueWorker worker = await StartAsync(Quick, Does(job =>
        {
            if (job.Id == "poison")
            {
                throw new InvalidOperationException("bad bytes");
            }
        }));

        await EnqueueAsync("poison");
        await EnqueueAsync("good");

        await DoneAsync(1);
        DeadLetter letter = await DeadAsync();
        letter.Id.ShouldBe("poison");
        letter.Reason.ShouldBe("InvalidOperationException: bad bytes");
        letter.Job.ShouldNotBeNull().Attempt.ShouldBe(3);
    }

    [Fact]
    public async Task A_permanent_failure_is_not_tried_again()
    {
        await using QueueWorker worker = await StartAsync(Quick, Does(_ => throw new PermanentJobException("no such cache")));

        await EnqueueAsync("a");

        DeadLetter letter = await DeadAsync();
        letter.Reason.ShouldBe("no such cache");
        letter.Job.ShouldNotBeNull().Attempt.ShouldBe(1);
    }

    [Fact]
    public async Task A_job_without_handler_becomes_a_dead_letter()
    {
        await using QueueWorker worker = await StartAsync(Quick, Does(_ => { }));

        await EnqueueAsync("a", "unheard-of");

        (await DeadAsync()).Reason.ShouldContain("unheard-of");
    }

    [Fact]
    public async Task A_job_that_runs_too_long_is_cancelled_and_fails()
    {
        QueueWorkerOptions options = Quick with { MaxRunTime = TimeSpan.FromMilliseconds(20), Retry = new RetryPolicy { MaxAttempts = 1 } };
        await using QueueWorker worker = await StartAsync(options, UntilCancelledAsync);

        await EnqueueAsync("a");

        (await DeadAsync()).Reason.ShouldStartWith("ran longer than");
    }

    [Fact]
    public async Task A_handler_is_cancelled_when_its_lease_is_lost()
    {
        var cancelled = new TaskCompletionSource();
        await using QueueWorker worker = await StartAsync(
            Quick with { Visibility = TimeSpan.FromMilliseconds(60), Concurrency = 1 },
            async (job, cancellationToken) =>
            {
                if (job.Attempt == 1)
                {
                    await SendAsync("ZREM", Key("leases"), "a");
                    await SendAsync("HSET", Key("runs"), "a", "1 1 0 1");
                    await UntilCancelledAsync(job, cancellationToken).ContinueWith(_ => cancelled.SetResult(), TaskScheduler.Default);
                    cancellationToken.ThrowIfCancellationRequested();
                }
            });

        await EnqueueAsync("a");
        await cancelled.Task.WaitAsync(Token);
        await SendAsync("RPUSH", Key("ready"), "a");
        await SendAsync("PUBLISH", Key("wake"), "1");

        await DoneAsync(1);
    }

    [Fact]
    public async Task Stop_lets_a_running_handler_finish()
    {
        var started = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        QueueWorker worker = await StartAsync(Quick, async (_, cancellationToken) =>
        {
            started.SetResult();
            await finish.Task.WaitAsync(cancellationToken);
        });
        await EnqueueAsync("a");
        await started.Task.WaitAsync(Token);

        Task stopping = worker.StopAsync(Token);
        await EnqueueAsync("b");
        stopping.IsCompleted.ShouldBeFalse();
        finish.SetResult();
        await stopping;

        QueueStats stats = await Queue.StatsAsync(Token);
        (stats.Done, stats.Ready, stats.Leased).ShouldBe((1, 1, 0));
    }

    [Fact]
    public async Task Stop_cancels_a_handler_after_the_grace_and_gives_its_job_back()
    {
        var started = new TaskCompletionSource();
        QueueWorker worker = await StartAsync(Quick with { StopGrace = TimeSpan.FromMilliseconds(1) }, async (job, cancellationToken) =>
        {
            started.SetResult();
            await UntilCancelledAsync(job, cancellationToken);
        });
        await EnqueueAsync("a");
        await started.Task.WaitAsync(Token);

        await worker.StopAsync(Token);

        Lease lease = await LeaseAsync();
        (lease.Job.Attempt, lease.Job.LostLeases).ShouldBe((1, 0));
    }

    [Fact]
    public async Task Stop_leaves_a_handler_behind_that_ignores_its_cancellation_and_refuses_its_result()
    {
        var started = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        QueueWorker worker = await StartAsync(
            Quick with { StopGrace = TimeSpan.Zero, AbandonAfter = TimeSpan.FromMilliseconds(10), Visibility = TimeSpan.FromMilliseconds(200) },
            (_, _) =>
            {
                started.SetResult();
                return finish.Task;
            });
        await EnqueueAsync("a");
        await started.Task.WaitAsync(Token);

        await worker.StopAsync(Token);
        await ReapExpiredAsync(Queue);
        finish.SetResult();

        (await LeaseAsync()).Job.LostLeases.ShouldBe(1);
        (await Queue.StatsAsync(Token)).Done.ShouldBe(0);
    }

    [Fact]
    public async Task A_stopped_worker_can_be_started_again()
    {
        QueueWorker worker = await StartAsync(Quick, Does(_ => { }));
        Should.Throw<InvalidOperationException>(() => worker.StartAsync(Token));
        await worker.StopAsync(Token);
        await worker.StopAsync(Token);
        await EnqueueAsync("a");

        await worker.StartAsync(Token);

        await DoneAsync(1);
        await worker.DisposeAsync();
    }

    [Fact]
    public async Task A_handler_that_blocks_its_thread_does_not_stop_the_others()
    {
        using var blocked = new ManualResetEventSlim();
        await using QueueWorker worker = await StartAsync(Quick, Does(job =>
        {
            if (job.Id == "blocks")
            {
                blocked.Wait(Token);
            }
        }));

        await EnqueueAsync("blocks");
        await EnqueueAsync("other");

        await DoneAsync(1);
        blocked.Set();
        await DoneAsync(2);
    }

    [Fact]
    public async Task Jobs_continue_the_trace_of_whoever_enqueued_them_and_are_counted()
    {
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Slipway.Queue",
            Sample = (ref _) => ActivitySamplingResult.AllDataAndRecorded,
        };
        ActivitySource.AddActivityListener(listener);
        var completed = new TaskCompletionSource();
        using var meters = new MeterListener();
        meters.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == "Slipway.Queue")
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            if (instrument.Name == "slipway.queue.ended" && value == 1 && tags.Contains(new KeyValuePair<string, object?>("outcome", "completed")))
            {
                completed.TrySetResult();
            }
        });
        meters.Start();
        var seen = new TaskCompletionSource<ActivityTraceId>();
        await using QueueWorker worker = await StartAsync(Quick, Does(_ => seen.SetResult(Activity.Current!.TraceId)));

        using Activity request = new Activity("request").SetIdFormat(ActivityIdFormat.W3C).Start();
        await EnqueueAsync("a");

        (await seen.Task.WaitAsync(Token)).ShouldBe(request.TraceId);
        await completed.Task.WaitAsync(Token);
    }

    [Fact]
    public async Task Cut_connections_lose_no_job()
    {
        var runs = new ConcurrentDictionary<string, int>();
        await using QueueWorker worker = await StartAsync(
            Quick with { Visibility = TimeSpan.FromMilliseconds(300) }, Does(job => runs.AddOrUpdate(job.Id, 1, (_, count) => count + 1)));
        RespConnection other = await ConnectAsync();
        string[] ids = [.. Enumerable.Range(0, 60).Select(i => $"job{i}")];

        foreach (string id in ids)
        {
            await EnqueueAsync(id);
            await other.SendAsync(RespCommand.Of("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), Token);
            await other.SendAsync(RespCommand.Of("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"), Token);
        }

        await DoneAsync(ids.Length);
        runs.Keys.ShouldBe(ids, ignoreOrder: true);
        await ShouldBeConsistentAsync();
    }

    private async Task<QueueWorker> StartAsync(QueueWorkerOptions options, Func<Job, CancellationToken, Task> handler)
    {
        var worker = new QueueWorker(
            Queue,
            new Dictionary<string, Func<Job, CancellationToken, Task>> { ["work"] = handler },
            options,
            TimeProvider.System,
            NullLogger<QueueWorker>.Instance);
        await worker.StartAsync(Token);
        return worker;
    }

    private static Func<Job, CancellationToken, Task> Does(Action<Job> action) => (job, _) =>
    {
        action(job);
        return Task.CompletedTask;
    };

    private static Task UntilCancelledAsync(Job job, CancellationToken cancellationToken) =>
        new TaskCompletionSource<Job>(job).Task.WaitAsync(cancellationToken);

    private Task DoneAsync(int count) => Eventually.TrueAsync(async token => (await Queue.StatsAsync(token)).Done == count, Token);

    private Task<DeadLetter> DeadAsync() =>
        Eventually.ValueAsync(async token => (await Queue.DeadLettersAsync(0, 1, token)).FirstOrDefault(), Token);
}
