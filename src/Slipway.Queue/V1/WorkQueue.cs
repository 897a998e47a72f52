using System.Diagnostics;
using Slipway.Resp;

namespace Slipway.Queue.V1;

/// <summary>
/// A queue in Redis that delivers every job at least once: enqueued means it survives, leased means it comes back unless it
/// is ended by whoever holds the lease. States: docs/protocols/queue-states.md.
/// </summary>
/// <remarks>
/// Every transition is one script, so a crash falls before or after it, never into it. The clock is that of Redis. Except
/// <see cref="LeaseAsync"/> every transition may be repeated without harm, and is, when the connection is cut before the answer;
/// a lease whose answer is lost comes back when it expires. What is acknowledged survives a kill of Redis
/// only with <c>appendfsync always</c>.
/// </remarks>
public sealed class WorkQueue : IAsyncDisposable
{
    /// <summary>Errors are for people; a stack trace's head tells the cause.</summary>
    private const int MaxErrorChars = 2000;

    private readonly IRespClient redis;
    private readonly QueueKeys keys;
    private readonly WorkQueueOptions options;
    private readonly TimeProvider time;
    private readonly WakeSignal wake = new();
    private readonly Lock listeningGate = new();
    private Task<RespSubscription>? listening;

    public WorkQueue(IRespClient redis, string name, WorkQueueOptions options, TimeProvider time)
    {
        CheckName(name, 64, nameof(name));
        this.redis = redis;
        this.options = options;
        this.time = time;
        keys = new QueueKeys(name);
    }

    public string Name => keys.Queue;

    /// <summary>Adds a job, unless its id is known. Safe to repeat.</summary>
    /// <exception cref="QueueFullException">At the bound of <see cref="WorkQueueOptions.MaxJobs"/>.</exception>
    /// <exception cref="RespException">It may not have been added; enqueue it again under the same id.</exception>
    public async Task<EnqueueOutcome> EnqueueAsync(JobDraft draft, CancellationToken cancellationToken)
    {
        CheckName(draft.Id, 200, nameof(draft));
        CheckName(draft.Type, 100, nameof(draft));
        if (draft.Payload.Length > options.MaxPayloadBytes)
        {
            throw new ArgumentException(
                $"The payload has {draft.Payload.Length} bytes; the limit is {options.MaxPayloadBytes}. Keep it elsewhere and enqueue where it is.", nameof(draft));
        }

        using Activity? activity = QueueTelemetry.Source.StartActivity($"enqueue {draft.Type}", ActivityKind.Producer);
        Activity? context = activity ?? Activity.Current;
        bool w3c = context is { IdFormat: ActivityIdFormat.W3C };
        // 512: what the W3C asks everybody to carry of a tracestate; a longer one is dropped whole.
        string state = w3c && context!.TraceStateString is { Length: <= 512 } kept ? kept : "";
        byte[] entry = new JobEntry(draft.Type, w3c ? context!.Id! : "", state, draft.Payload).Write();
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Enqueue,
            new RespArgument[] { keys.Ready, keys.Delayed, keys.Leases, keys.Dead, keys.Done, keys.Jobs, keys.Runs },
            new RespArgument[] { draft.Id, entry, Milliseconds(options.DoneRetention), options.MaxJobs, keys.Wake },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        EnqueueOutcome? outcome = answer.AsString() switch
        {
            "added" => EnqueueOutcome.Added,
            "waiting" => EnqueueOutcome.AlreadyWaiting,
            "done" => EnqueueOutcome.AlreadyDone,
            "dead" => EnqueueOutcome.AlreadyDead,
            _ => null,
        };
        QueueTelemetry.Enqueued.Add(1, QueueTelemetry.Queue(Name), QueueTelemetry.Outcome(outcome?.ToString().ToLowerInvariant() ?? "full"));
        return outcome ?? throw new QueueFullException(Name, options.MaxJobs);
    }

    /// <summary>Takes the next job; null when none came within <paramref name="wait"/>. Waits for a wake-up, not in a polling loop.</summary>
    /// <remarks>Cancellation ends the waiting; a lease that was taken at that very moment is still returned: release it.</remarks>
    /// <param name="visibility">How long the job is ours without an extension.</param>
    public async Task<Lease?> LeaseAsync(TimeSpan visibility, TimeSpan wait, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(visibility, TimeSpan.FromMilliseconds(1));
        await ListenAsync().WaitAsync(cancellationToken);
        long started = time.GetTimestamp();
        while (true)
        {
            Task woken = wake.Next;
            RespValue answer = await redis.EvaluateAsync(
                QueueScripts.Lease,
                new RespArgument[] { keys.Ready, keys.Delayed, keys.Leases, keys.Dead, keys.Jobs, keys.Runs, keys.Errors, keys.Token },
                new RespArgument[] { Milliseconds(visibility), options.StepLimit },
                idempotent: false,
                keepsReply: true,
                cancellationToken);
            if (answer.Items is [var id, var entry, var attempt, var losses, var token, var enqueued, var now, var deadline])
            {
                Job? job = ReadJob(id, entry, attempt, losses, enqueued);
                if (job is not null)
                {
                    var lease = new Lease(job, token.AsInteger(), Moment(now), Moment(deadline));
                    QueueTelemetry.Leased.Add(1, QueueTelemetry.Queue(Name));
                    QueueTelemetry.Wait.Record((lease.LeasedAt - job.EnqueuedAt).TotalSeconds, QueueTelemetry.Queue(Name));
                    return lease;
                }

                await EndAttemptAsync(
                    id.AsString(), token.AsInteger(), null, "damaged: the job body is not in a form that this version can read", CancellationToken.None);
                continue;
            }

            cancellationToken.ThrowIfCancellationRequested();
            TimeSpan left = wait - time.GetElapsedTime(started);
            if (left <= TimeSpan.Zero)
            {
                return null;
            }

            TimeSpan pause = options.SafetyPoll * (0.9 + (Random.Shared.NextDouble() / 5));
            if (answer.Items[0].AsInteger() is >= 0 and var nextDue && nextDue < pause.TotalMilliseconds)
            {
                pause = TimeSpan.FromMilliseconds(Math.Max(1, nextDue));
            }

            await WaitAsync(woken, left < pause ? left : pause, cancellationToken);
        }
    }

    /// <summary>The job is done. False: the lease is not ours any more, somebody else does or will do the job (again).</summary>
    public async Task<bool> CompleteAsync(Lease lease, CancellationToken cancellationToken)
    {
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Complete,
            new RespArgument[] { keys.Leases, keys.Done, keys.Jobs, keys.Runs, keys.Errors },
            new RespArgument[] { lease.Job.Id, lease.Token },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        return Ended(answer, "completed");
    }

    /// <summary>Moves the deadline to <paramref name="visibility"/> from now. False: the lease is not ours any more, stop working.</summary>
    public async Task<bool> ExtendAsync(Lease lease, TimeSpan visibility, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(visibility, TimeSpan.FromMilliseconds(1));
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Extend,
            new RespArgument[] { keys.Leases, keys.Runs },
            new RespArgument[] { lease.Job.Id, lease.Token, Milliseconds(visibility) },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        return answer.AsInteger() != 0;
    }

    /// <summary>The attempt failed: try again after <paramref name="retryAfter"/>, or never (null: dead letter). False: the lease is not ours any more.</summary>
    public Task<bool> FailAsync(Lease lease, TimeSpan? retryAfter, string error, CancellationToken cancellationToken) =>
        EndAttemptAsync(lease.Job.Id, lease.Token, retryAfter, error, cancellationToken);

    /// <summary>Gives the job back at once, the attempt not counted. False: the lease is not ours any more.</summary>
    public async Task<bool> ReleaseAsync(Lease lease, CancellationToken cancellationToken)
    {
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Release,
            new RespArgument[] { keys.Leases, keys.Ready, keys.Runs },
            new RespArgument[] { lease.Job.Id, lease.Token, keys.Wake },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        return Ended(answer, "released");
    }

    /// <summary>One bounded step: expired leases go back, due jobs become ready, old done ids are forgotten. Every worker does this; nobody can switch it off.</summary>
    public async Task<ReapResult> ReapAsync(CancellationToken cancellationToken)
    {
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Reap,
            new RespArgument[] { keys.Ready, keys.Delayed, keys.Leases, keys.Dead, keys.Done, keys.Runs, keys.Errors },
            new RespArgument[] { options.StepLimit, options.MaxLostLeases, Milliseconds(options.DoneRetention), keys.Wake },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        long[] counts = [.. answer.Items.Select(count => count.AsInteger())];
        QueueTelemetry.Reaped.Add(counts[0], QueueTelemetry.Queue(Name), QueueTelemetry.Outcome("putback"));
        QueueTelemetry.Reaped.Add(counts[1], QueueTelemetry.Queue(Name), QueueTelemetry.Outcome("dead"));
        return new ReapResult(counts[0], counts[1], counts[2], counts[3], options.StepLimit);
    }

    public async Task<QueueStats> StatsAsync(CancellationToken cancellationToken)
    {
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Stats,
            new RespArgument[] { keys.Ready, keys.Delayed, keys.Leases, keys.Dead, keys.Done, keys.Runs },
            default,
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        long[] counts = [.. answer.Items.Select(count => count.AsInteger())];
        return new QueueStats(counts[0], counts[1], counts[2], counts[3], counts[4], TimeSpan.FromMilliseconds(counts[5]));
    }

    /// <summary>Dead letters, the latest first.</summary>
    /// <param name="count">At most 1000: one reply.</param>
    public async Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int skip, int count, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(skip);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 1000);
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Dead,
            new RespArgument[] { keys.Dead, keys.Jobs, keys.Runs, keys.Errors },
            new RespArgument[] { skip, count },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        return [.. answer.Items.Select(row => new DeadLetter(
            row.Items[0].AsString(),
            ReadJob(row.Items[0], row.Items[1], row.Items[2], row.Items[3], row.Items[4]),
            row.Items[6].AsString(),
            Moment(row.Items[5])))];
    }

    /// <summary>Puts a dead letter back to work with all its attempts. False: it is not a dead letter.</summary>
    public async Task<bool> RedriveAsync(string id, CancellationToken cancellationToken)
    {
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Redrive,
            new RespArgument[] { keys.Dead, keys.Ready, keys.Runs, keys.Errors },
            new RespArgument[] { id, keys.Wake },
            idempotent: false,
            keepsReply: false,
            cancellationToken);
        return answer.AsInteger() == 1;
    }

    /// <summary>Forgets a dead letter for good. False: it is not a dead letter.</summary>
    public async Task<bool> DiscardAsync(string id, CancellationToken cancellationToken)
    {
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Discard,
            new RespArgument[] { keys.Dead, keys.Jobs, keys.Runs, keys.Errors },
            new RespArgument[] { id },
            idempotent: false,
            keepsReply: false,
            cancellationToken);
        return answer.AsInteger() == 1;
    }

    /// <summary>Stops listening for wake-ups. The connection belongs to whoever made it.</summary>
    public async ValueTask DisposeAsync()
    {
        Task<RespSubscription>? started;
        lock (listeningGate)
        {
            started = listening;
        }

        if (started is { IsCompletedSuccessfully: true })
        {
            await (await started).DisposeAsync();
        }
    }

    private async Task<bool> EndAttemptAsync(string id, long token, TimeSpan? retryAfter, string error, CancellationToken cancellationToken)
    {
        string reason = error.Length <= MaxErrorChars ? error : error[..MaxErrorChars] + "…";
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Fail,
            new RespArgument[] { keys.Leases, keys.Delayed, keys.Dead, keys.Runs, keys.Errors },
            new RespArgument[] { id, token, retryAfter is { } delay ? Milliseconds(delay) : -1, reason, keys.Wake },
            idempotent: true,
            keepsReply: false,
            cancellationToken);
        return Ended(answer, retryAfter is null ? "dead" : "retried");
    }

    private bool Ended(RespValue answer, string outcome)
    {
        bool ours = answer.AsInteger() == 1;
        QueueTelemetry.Ended.Add(1, QueueTelemetry.Queue(Name), QueueTelemetry.Outcome(ours ? outcome : "lost"));
        return ours;
    }

    /// <summary>Starts listening at the first lease; tries again after a failure.</summary>
    private Task ListenAsync()
    {
        lock (listeningGate)
        {
            if (listening is null or { IsFaulted: true } or { IsCanceled: true })
            {
                listening = redis.SubscribeAsync(keys.Wake, _ => wake.Pulse(), wake.Pulse, CancellationToken.None);
            }

            return listening;
        }
    }

    private async Task WaitAsync(Task woken, TimeSpan pause, CancellationToken cancellationToken)
    {
        await woken.WaitAsync(pause, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private static Job? ReadJob(RespValue id, RespValue entry, RespValue attempt, RespValue losses, RespValue enqueued) =>
        JobEntry.TryRead(entry.AsBytes(), out JobEntry? read)
            ? new Job(
                id.AsString(),
                read.Value.Type,
                read.Value.Payload,
                (int)attempt.AsInteger(),
                (int)losses.AsInteger(),
                Moment(enqueued),
                read.Value.TraceParent,
                read.Value.TraceState)
            : null;

    private static DateTimeOffset Moment(RespValue milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds.AsInteger());

    private static long Milliseconds(TimeSpan span) => (long)Math.Max(0, Math.Ceiling(span.TotalMilliseconds));

    private static void CheckName(string name, int longest, string parameter)
    {
        if (name.Length == 0 || name.Length > longest || name.AsSpan().ContainsAnyExceptInRange('!', '~') || name.AsSpan().ContainsAny('{', '}'))
        {
            throw new ArgumentException($"'{name}' must be 1 to {longest} printable ASCII characters without blanks and braces.", parameter);
        }
    }
}
