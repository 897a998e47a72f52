using Slipway.Queue.V1;
using System.Diagnostics;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.QueueV1.Tests;

/// <summary>Each script by itself, through <see cref="WorkQueue"/>.</summary>
public sealed class Transitions : QueueTest
{
    private const string LongAgo = "1";

    [Fact]
    public async Task Enqueue_adds_an_id_once_in_whatever_state_it_is()
    {
        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.Added);
        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.AlreadyWaiting);
        Lease lease = await LeaseAsync();
        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.AlreadyWaiting);
        await Queue.FailAsync(lease, Minute, "later", Token);
        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.AlreadyWaiting);
        await SendAsync("ZADD", Key("delayed"), LongAgo, "a");
        lease = await LeaseAsync();
        await Queue.FailAsync(lease, null, "never", Token);
        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.AlreadyDead);
        await Queue.RedriveAsync("a", Token);
        await Queue.CompleteAsync(await LeaseAsync(), Token);
        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.AlreadyDone);

        (await Queue.StatsAsync(Token)).ShouldBe(new QueueStats(0, 0, 0, 0, 1, TimeSpan.Zero));
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Enqueue_accepts_a_done_id_again_after_its_retention()
    {
        await EnqueueAsync("a");
        await Queue.CompleteAsync(await LeaseAsync(), Token);
        await SendAsync("ZADD", Key("done"), LongAgo, "a");

        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.Added);

        (await LeaseAsync()).Job.Attempt.ShouldBe(1);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Enqueue_refuses_new_ids_in_a_full_queue_but_knows_the_old_ones()
    {
        WorkQueue small = Open(Defaults with { MaxJobs = 2 });
        await EnqueueAsync("dead");
        await Queue.FailAsync(await LeaseAsync(), null, "no", Token);
        await EnqueueAsync("ready");

        await Should.ThrowAsync<QueueFullException>(() => small.EnqueueAsync(new JobDraft("new", "work", default), Token));

        (await small.EnqueueAsync(new JobDraft("ready", "work", default), Token)).ShouldBe(EnqueueOutcome.AlreadyWaiting);
        await small.DiscardAsync("dead", Token);
        (await small.EnqueueAsync(new JobDraft("new", "work", default), Token)).ShouldBe(EnqueueOutcome.Added);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("ä")]
    [InlineData("a\n")]
    public async Task Enqueue_refuses_ids_that_logs_and_urls_cannot_carry(string id) =>
        await Should.ThrowAsync<ArgumentException>(() => EnqueueAsync(id));

    [Fact]
    public async Task Enqueue_refuses_a_payload_over_the_limit() =>
        await Should.ThrowAsync<ArgumentException>(() => Queue.EnqueueAsync(new JobDraft("a", "work", new byte[Defaults.MaxPayloadBytes + 1]), Token));

    [Fact]
    public async Task Lease_hands_out_the_oldest_job_whole_under_a_growing_token()
    {
        byte[] payload = [0, 255, 13, 10];
        await Queue.EnqueueAsync(new JobDraft("a", "alpha", payload), Token);
        await EnqueueAsync("b");

        Lease a = await LeaseAsync();
        Lease b = await LeaseAsync();

        a.Job.Id.ShouldBe("a");
        a.Job.Type.ShouldBe("alpha");
        a.Job.Payload.ToArray().ShouldBe(payload);
        (a.Job.Attempt, a.Job.LostLeases).ShouldBe((1, 0));
        (a.Deadline - a.LeasedAt).ShouldBe(Minute);
        b.Job.Id.ShouldBe("b");
        b.Token.ShouldBeGreaterThan(a.Token);
        (await Queue.LeaseAsync(Minute, TimeSpan.Zero, Token)).ShouldBeNull();
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Lease_hands_out_delayed_jobs_once_they_are_due_and_not_before()
    {
        await EnqueueAsync("a");
        await Queue.FailAsync(await LeaseAsync(), Minute, "later", Token);
        (await Queue.LeaseAsync(Minute, TimeSpan.Zero, Token)).ShouldBeNull();

        await SendAsync("ZADD", Key("delayed"), LongAgo, "a");

        (await LeaseAsync()).Job.Attempt.ShouldBe(2);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Lease_puts_jobs_without_body_among_the_dead_and_goes_on()
    {
        await EnqueueAsync("damaged");
        await EnqueueAsync("newer");
        await EnqueueAsync("good");
        await SendAsync("HDEL", Key("jobs"), "damaged");
        await SendAsync("HSET", Key("jobs"), "newer", "\u0002an unknown version");

        (await LeaseAsync()).Job.Id.ShouldBe("good");

        IReadOnlyList<DeadLetter> dead = await Queue.DeadLettersAsync(0, 10, Token);
        dead.Select(letter => letter.Id).ShouldBe(["damaged", "newer"], ignoreOrder: true);
        dead.ShouldAllBe(letter => letter.Job == null && letter.Reason.StartsWith("damaged: "));
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Extend_moves_the_deadline_while_the_lease_is_ours()
    {
        await EnqueueAsync("a");
        Lease lease = await LeaseAsync();

        (await Queue.ExtendAsync(lease, TimeSpan.FromHours(1), Token)).ShouldBeTrue();

        var deadline = DateTimeOffset.FromUnixTimeMilliseconds((long)(await SendAsync("ZSCORE", Key("leases"), "a")).AsDouble());
        deadline.ShouldBeGreaterThanOrEqualTo(lease.LeasedAt + TimeSpan.FromHours(1));
        (await Queue.ExtendAsync(lease with { Token = lease.Token + 1 }, Minute, Token)).ShouldBeFalse();
        await Queue.CompleteAsync(lease, Token);
        (await Queue.ExtendAsync(lease, Minute, Token)).ShouldBeFalse();
    }

    [Fact]
    public async Task Complete_ends_the_job_and_may_be_repeated()
    {
        await EnqueueAsync("a");
        Lease lease = await LeaseAsync();

        (await Queue.CompleteAsync(lease with { Token = 99 }, Token)).ShouldBeFalse();
        (await Queue.CompleteAsync(lease, Token)).ShouldBeTrue();
        (await Queue.CompleteAsync(lease, Token)).ShouldBeTrue();

        (await Queue.StatsAsync(Token)).Done.ShouldBe(1);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Fail_delays_the_job_or_declares_it_dead_and_may_be_repeated()
    {
        await EnqueueAsync("a");
        Lease first = await LeaseAsync();
        (await Queue.FailAsync(first with { Token = 99 }, null, "foreign", Token)).ShouldBeFalse();
        (await Queue.FailAsync(first, Minute, "one", Token)).ShouldBeTrue();
        (await Queue.FailAsync(first, Minute, "one", Token)).ShouldBeTrue();
        (await Queue.CompleteAsync(first, Token)).ShouldBeFalse();
        (await Queue.StatsAsync(Token)).Delayed.ShouldBe(1);
        await SendAsync("ZADD", Key("delayed"), LongAgo, "a");
        Lease second = await LeaseAsync();
        (await Queue.FailAsync(first, null, "stale", Token)).ShouldBeFalse();

        (await Queue.FailAsync(second, null, new string('x', 5000), Token)).ShouldBeTrue();

        DeadLetter letter = (await Queue.DeadLettersAsync(0, 10, Token)).ShouldHaveSingleItem();
        letter.Reason.Length.ShouldBeInRange(2000, 2001);
        letter.Job.ShouldNotBeNull().Attempt.ShouldBe(2);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Release_puts_the_job_next_in_line_without_counting_the_attempt()
    {
        await EnqueueAsync("a");
        await EnqueueAsync("b");
        Lease lease = await LeaseAsync();

        (await Queue.ReleaseAsync(lease with { Token = 99 }, Token)).ShouldBeFalse();
        (await Queue.ReleaseAsync(lease, Token)).ShouldBeTrue();
        (await Queue.ReleaseAsync(lease, Token)).ShouldBeFalse();

        (await Queue.CompleteAsync(lease, Token)).ShouldBeFalse();
        Lease again = await LeaseAsync();
        (again.Job.Id, again.Job.Attempt, again.Job.LostLeases).ShouldBe(("a", 1, 0));
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Reap_puts_expired_leases_back_first_in_line_and_fences_the_old_holder_off()
    {
        await EnqueueAsync("a");
        await EnqueueAsync("b");
        Lease lost = await LeaseAsync(TimeSpan.FromMilliseconds(1));

        await ReapExpiredAsync(Queue);

        (await Queue.CompleteAsync(lost, Token)).ShouldBeFalse();
        (await Queue.ExtendAsync(lost, Minute, Token)).ShouldBeFalse();
        (await Queue.FailAsync(lost, null, "late", Token)).ShouldBeFalse();
        (await Queue.ReleaseAsync(lost, Token)).ShouldBeFalse();
        Lease again = await LeaseAsync();
        (again.Job.Id, again.Job.Attempt, again.Job.LostLeases).ShouldBe(("a", 2, 1));
        (await Queue.CompleteAsync(lost, Token)).ShouldBeFalse();
        (await Queue.CompleteAsync(again, Token)).ShouldBeTrue();
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task An_expired_lease_that_nobody_reaped_can_still_be_completed()
    {
        await EnqueueAsync("a");
        Lease lease = await LeaseAsync();
        await SendAsync("ZADD", Key("leases"), LongAgo, "a");

        (await Queue.CompleteAsync(lease, Token)).ShouldBeTrue();

        (await Queue.ReapAsync(Token)).PutBack.ShouldBe(0);
    }

    [Fact]
    public async Task Reap_declares_a_job_dead_that_loses_its_worker_too_often()
    {
        WorkQueue strict = Open(Defaults with { MaxLostLeases = 2 });
        await EnqueueAsync("a");
        for (int i = 0; i < 2; i++)
        {
            await LeaseAsync(TimeSpan.FromMilliseconds(1));
            await ReapExpiredAsync(strict);
        }

        DeadLetter letter = (await strict.DeadLettersAsync(0, 1, Token)).ShouldHaveSingleItem();

        letter.Reason.ShouldBe("crash loop: the job lost its worker 2 times");
        letter.Job.ShouldNotBeNull().LostLeases.ShouldBe(2);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Reap_works_in_bounded_steps_and_forgets_old_done_ids()
    {
        WorkQueue steps = Open(Defaults with { StepLimit = 2 });
        for (int i = 0; i < 3; i++)
        {
            await EnqueueAsync($"done{i}");
            await Queue.CompleteAsync(await LeaseAsync(), Token);
            await SendAsync("ZADD", Key("done"), LongAgo, $"done{i}");
        }

        for (int i = 0; i < 3; i++)
        {
            await EnqueueAsync($"lost{i}");
        }

        for (int i = 0; i < 3; i++)
        {
            string id = (await LeaseAsync()).Job.Id;
            await SendAsync("ZADD", Key("leases"), LongAgo, id);
        }

        ReapResult first = await steps.ReapAsync(Token);
        ReapResult second = await steps.ReapAsync(Token);
        ReapResult third = await steps.ReapAsync(Token);

        (first.PutBack, first.Forgotten, first.MoreToDo).ShouldBe((2, 2, true));
        (second.PutBack, second.Forgotten, second.MoreToDo).ShouldBe((1, 1, false));
        (third.PutBack, third.Forgotten, third.MoreToDo).ShouldBe((0, 0, false));
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Redrive_gives_a_dead_job_all_its_attempts_again()
    {
        await EnqueueAsync("a");
        await Queue.FailAsync(await LeaseAsync(), null, "no", Token);

        (await Queue.RedriveAsync("b", Token)).ShouldBeFalse();
        (await Queue.RedriveAsync("a", Token)).ShouldBeTrue();
        (await Queue.RedriveAsync("a", Token)).ShouldBeFalse();

        (await LeaseAsync()).Job.Attempt.ShouldBe(1);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Discard_forgets_a_dead_job()
    {
        await EnqueueAsync("a");
        (await Queue.DiscardAsync("a", Token)).ShouldBeFalse();
        await Queue.FailAsync(await LeaseAsync(), null, "no", Token);

        (await Queue.DiscardAsync("a", Token)).ShouldBeTrue();

        (await EnqueueAsync("a")).ShouldBe(EnqueueOutcome.Added);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task Dead_letters_are_listed_in_pages_the_latest_first()
    {
        foreach (string id in (string[])["a", "b", "c"])
        {
            await EnqueueAsync(id);
            await Queue.FailAsync(await LeaseAsync(), null, "reason of " + id, Token);
            await SendAsync("ZADD", Key("dead"), id[0], id);
        }

        (await Queue.DeadLettersAsync(0, 2, Token)).Select(letter => letter.Reason).ShouldBe(["reason of c", "reason of b"]);
        (await Queue.DeadLettersAsync(2, 2, Token)).Select(letter => letter.Reason).ShouldBe(["reason of a"]);
    }

    [Fact]
    public async Task Stats_tell_how_old_the_next_job_is()
    {
        await EnqueueAsync("a");
        await SendAsync("HSET", Key("runs"), "a", "0 0 0 1");

        (await Queue.StatsAsync(Token)).OldestReady.ShouldBeGreaterThan(TimeSpan.FromDays(365 * 50));
    }

    [Fact]
    public async Task A_waiting_lease_is_woken_by_an_enqueue()
    {
        Task<Lease?> waiting = Queue.LeaseAsync(Minute, Minute, Token);
        // Its first look at the queue is over once its script has run.
        await Eventually.TrueAsync(async _ => await CallsAsync() > 0, Token);

        await EnqueueAsync("a");

        (await waiting).ShouldNotBeNull().Job.Id.ShouldBe("a");
    }

    [Fact]
    public async Task A_waiting_lease_gets_a_delayed_job_when_it_is_due_without_any_wake_up()
    {
        await EnqueueAsync("a");
        await Queue.FailAsync(await LeaseAsync(), TimeSpan.FromMilliseconds(30), "soon", Token);

        (await Queue.LeaseAsync(Minute, Minute, Token)).ShouldNotBeNull().Job.Attempt.ShouldBe(2);
    }

    [Fact]
    public async Task A_waiting_lease_sends_nothing_between_two_safety_polls()
    {
        var time = new ManualTimeProvider();
        WorkQueue patient = Open(Defaults with { SafetyPoll = TimeSpan.FromSeconds(5) }, time);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        Task<Lease?> waiting = patient.LeaseAsync(Minute, TimeSpan.FromHours(1), cancel.Token);
        await time.WaitForTimersAsync(1, Token);

        time.Advance(TimeSpan.FromSeconds(4));
        (await CallsAsync()).ShouldBe(1);
        time.Advance(TimeSpan.FromSeconds(2));

        await Eventually.TrueAsync(async _ => await CallsAsync() == 2, Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => waiting);
    }

    [Fact]
    public async Task Scripts_are_loaded_again_after_the_server_forgot_them()
    {
        await EnqueueAsync("a");
        await SendAsync("SCRIPT", "FLUSH");

        await EnqueueAsync("b");

        (await Queue.StatsAsync(Token)).Ready.ShouldBe(2);
    }

    [Fact]
    public async Task A_full_redis_refuses_new_jobs_and_lets_the_queue_work_itself_out()
    {
        await EnqueueAsync("a");
        await SendAsync("CONFIG", "SET", "maxmemory", 1);

        (await Should.ThrowAsync<RespServerException>(() => EnqueueAsync("b"))).Code.ShouldBe("OOM");

        Lease lease = await LeaseAsync();
        (await Queue.ExtendAsync(lease, Minute, Token)).ShouldBeTrue();
        (await Queue.ReleaseAsync(lease, Token)).ShouldBeTrue();
        (await Queue.CompleteAsync(await LeaseAsync(), Token)).ShouldBeTrue();
        await Queue.ReapAsync(Token);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task The_trace_context_travels_with_the_job()
    {
        using var activity = new Activity("request");
        activity.SetIdFormat(ActivityIdFormat.W3C);
        activity.TraceStateString = "vendor=1";
        activity.Start();

        await EnqueueAsync("a");

        Job job = (await LeaseAsync()).Job;
        job.TraceParent.ShouldContain(activity.TraceId.ToHexString());
        job.TraceState.ShouldBe("vendor=1");
    }

    /// <summary>Script calls so far, without those that found no script.</summary>
    private async Task<long> CallsAsync()
    {
        string stats = (await SendAsync("INFO", "commandstats")).AsString();
        string? line = stats.Split('\n').FirstOrDefault(row => row.StartsWith("cmdstat_evalsha:", StringComparison.Ordinal));
        if (line is null)
        {
            return 0;
        }

        Dictionary<string, string> fields = line.Trim().Split(':')[1].Split(',').Select(field => field.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);
        return long.Parse(fields["calls"]) - long.Parse(fields["failed_calls"]) - long.Parse(fields["rejected_calls"]);
    }
}
