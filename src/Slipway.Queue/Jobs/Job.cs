namespace Slipway.Queue;

/// <summary>A leased job, as it lies in its block.</summary>
public sealed class Job
{
    public required Guid Id { get; init; }

    public required string Type { get; init; }

    public required ReadOnlyMemory<byte> Payload { get; init; }

    public JobPriority Priority { get; init; }

    /// <summary>1 for the first run. Runs that were given back are not counted.</summary>
    public int Attempt { get; init; }

    /// <summary>How often a worker took this job and was never heard of again.</summary>
    public int LostLeases { get; init; }

    /// <summary>By the server's clock (that of the enqueuing client's estimate of it).</summary>
    public DateTimeOffset EnqueuedAt { get; init; }

    /// <summary>0: the handler's or the queue's policy.</summary>
    public int MaxAttempts { get; init; }

    /// <summary>Zero: the handler's or the queue's.</summary>
    public TimeSpan Timeout { get; init; }

    public string? UniqueKey { get; init; }

    public Guid? Batch { get; init; }

    public bool Tracked { get; init; }

    public byte Cost { get; init; }

    /// <summary>Somebody cancelled it before it started: end it as <see cref="JobEndKind.Cancelled"/> without running it.</summary>
    public bool CancelRequested { get; init; }

    /// <summary>W3C trace context of whoever enqueued it; empty when there was none.</summary>
    public string TraceParent { get; init; } = "";

    /// <summary>
    /// Its end needs more than a bit (a unique key, a batch, a result, …): end it with <see cref="IQueueBroker.SettleAsync"/>,
    /// not with <see cref="IQueueBroker.AckAsync"/> or by finishing its block.
    /// </summary>
    public bool NeedsSettling { get; init; }

    internal bool PayloadIsAside { get; init; }

    internal Job WithPayload(ReadOnlyMemory<byte> payload, string? damage) => new()
    {
        Id = Id,
        Type = Type,
        Payload = payload,
        Priority = Priority,
        Attempt = Attempt,
        LostLeases = LostLeases,
        EnqueuedAt = EnqueuedAt,
        MaxAttempts = MaxAttempts,
        Timeout = Timeout,
        UniqueKey = UniqueKey,
        Batch = Batch,
        Tracked = Tracked,
        Cost = Cost,
        CancelRequested = CancelRequested,
        TraceParent = TraceParent,
        NeedsSettling = NeedsSettling,
        Damage = damage,
    };

    /// <summary>Null: readable. Else why this entry can't be (damaged, newer format): end it as dead.</summary>
    public string? Damage { get; init; }
}

/// <summary>Jobs leased together. Its jobs are ended by index.</summary>
/// <param name="Id">Opaque; names the lease in every later call.</param>
/// <param name="Token">Fencing token: every block of the queue has a higher one than all before. Hand it to whatever the jobs write to.</param>
/// <param name="Deadline">By the server's clock, unless extended.</param>
public sealed record JobBlock(string Id, long Token, DateTimeOffset LeasedAt, DateTimeOffset Deadline, IReadOnlyList<Job> Jobs);

/// <param name="Finished">Blocks of which every job is done, or ended otherwise: closed in the same step.</param>
/// <param name="Max">Jobs wanted, 0–1000. Zero only closes.</param>
/// <param name="Worker">Whom the blocks shall belong to, when one process leases for others; null: <see cref="IQueueBroker.WorkerId"/>.</param>
public sealed record FetchRequest(int Max, TimeSpan Lease, IReadOnlyList<string> Finished, string? Worker = null);

/// <param name="Blocks">None, one, or more (types with limits come in blocks of their own).</param>
/// <param name="Late">Of the finished blocks those whose lease was lost: others do or did their jobs again.</param>
/// <param name="Next">When something is due that no wake-up will tell: the next delayed job, the opening of a rate limit. Null: nothing.</param>
/// <param name="Expired">Blocks past their deadline: hand them to <see cref="IQueueBroker.ReapAsync"/>.</param>
/// <param name="More">There was more than wanted: fetch again at once when there is room.</param>
public sealed record FetchResult(
    IReadOnlyList<JobBlock> Blocks, IReadOnlyList<string> Late, DateTimeOffset ServerTime, TimeSpan? Next, IReadOnlyList<string> Expired, bool More);

/// <param name="Done">Bit i (least significant first) is job i of the block: done.</param>
public readonly record struct BlockAck(string Block, ReadOnlyMemory<byte> Done);

public enum JobEndKind
{
    /// <summary>Completed, with an optional result (tracked jobs keep it).</summary>
    Completed,

    /// <summary>Failed; again after <see cref="JobEnd.RetryAfter"/>.</summary>
    Retry,

    /// <summary>Failed; the queue's retry policy decides (<see cref="QueueSettings.Retry"/>).</summary>
    Failed,

    /// <summary>A dead letter now.</summary>
    Dead,

    /// <summary>Given back unstarted, or at a stop: to the head of its line, the attempt not counted.</summary>
    Released,

    /// <summary>Cancelled by request: final, no dead letter.</summary>
    Cancelled,
}

/// <param name="Index">In its block.</param>
/// <param name="Reason">Groups dead letters and errors: an exception's type, <c>timeout</c>, <c>exit 1</c>. At most 100 characters.</param>
/// <param name="Error">For people; at most 2,000 characters are kept.</param>
/// <param name="Result">Of a tracked job; at most 64 KiB.</param>
public sealed record JobEnd(int Index, JobEndKind Kind, TimeSpan RetryAfter = default, string Reason = "", string Error = "", ReadOnlyMemory<byte> Result = default);

public sealed record BlockReap(int PutBack, int Died);
