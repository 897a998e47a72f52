namespace Slipway.Queue;

/// <summary>A job to be enqueued. Everything but the type has a default.</summary>
public sealed record JobDraft
{
    /// <summary>Chooses the handler. 1–100 printable ASCII characters without blanks and braces.</summary>
    public required string Type { get; init; }

    /// <summary>Any bytes. Above <see cref="BrokerOptions.InlineBytes"/> they lie beside the queue, and only their place travels.</summary>
    public ReadOnlyMemory<byte> Payload { get; init; }

    /// <summary>Names the job. Default: a new UUIDv7 by the server's clock. Its time is what waiting times are counted from.</summary>
    public Guid? Id { get; init; }

    public JobPriority Priority { get; init; } = JobPriority.Normal;

    /// <summary>Not before this long after the enqueue, by the server's clock, to the millisecond.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Not before this moment, by the server's clock; at most one of this and <see cref="Delay"/>.</summary>
    public DateTimeOffset? At { get; init; }

    /// <summary>
    /// While a job with this key waits or is at work, no second one is added. The lock is that job's: it ends with its final state
    /// (completed, dead, cancelled), never by a timer and never before. A redriven dead letter takes it again, or stays dead when it is taken. 1–200 printable ASCII characters.
    /// </summary>
    public string? UniqueKey { get; init; }

    /// <summary>The key stays taken so long after the job completed.</summary>
    public TimeSpan UniqueFor { get; init; }

    /// <summary>What the job takes from a rate limit, 1–255.</summary>
    public byte Cost { get; init; } = 1;

    /// <summary>Runs in all, before it is a dead letter; 0: the handler's or the queue's policy.</summary>
    public int MaxAttempts { get; init; }

    /// <summary>A run that takes longer is cancelled and counts as failed; zero: the handler's or the queue's.</summary>
    public TimeSpan Timeout { get; init; }

    /// <summary>Keeps state, progress and result under the id (<see cref="IQueueBroker.FindAsync"/>), and lets it be cancelled. Costs about three times a plain job.</summary>
    public bool Track { get; init; }

    /// <summary>The batch it belongs to (<see cref="IQueueBroker.OpenBatchAsync"/>).</summary>
    public Guid? Batch { get; init; }

    /// <summary>Starts when all of these have completed; when one of them dies, so does this. They must be tracked. At most 100.</summary>
    public IReadOnlyList<Guid> After { get; init; } = [];

    /// <summary>W3C trace context; default: that of the current activity.</summary>
    public string? TraceParent { get; init; }
}

/// <summary>Eight lines; a smaller number goes first. Every line has its guaranteed share (docs/protocols/queue.md).</summary>
public enum JobPriority : byte
{
    Highest = 0,
    Higher = 1,
    High = 2,
    Normal = 3,
    BelowNormal = 4,
    Low = 5,
    Lower = 6,
    Lowest = 7,
}

/// <summary>What an acknowledged enqueue survives. Nothing weaker than asked is ever answered: a server that cannot promise it refuses.</summary>
public enum Durability
{
    /// <summary>What Redis is configured for; no check. The default of the embedded Redis is <see cref="Fsync"/>.</summary>
    Server,

    /// <summary>Memory of Redis: a crash of workers.</summary>
    Memory,

    /// <summary>Append-only file: a kill of Redis, but for the last two seconds (<c>everysec</c>).</summary>
    Aof,

    /// <summary>On disk before the answer: kill of Redis and power loss. <c>appendfsync always</c>, else WAITAOF (Redis 7.2).</summary>
    Fsync,

    /// <summary>In the memory of at least one replica too (WAIT).</summary>
    Replicated,
}

/// <param name="Id">The job's; where a unique key was taken, the id of the job that holds it.</param>
public readonly record struct Enqueued(Guid Id, EnqueueOutcome Outcome);

public enum EnqueueOutcome
{
    Added,

    /// <summary>Its unique key is held by a job that waits, runs, or completed within its <see cref="JobDraft.UniqueFor"/>.</summary>
    Duplicate,

    /// <summary>The batch is closed, or not known.</summary>
    BatchClosed,

    /// <summary>One of the jobs it waits for is dead, cancelled or not known.</summary>
    DependencyFailed,
}

/// <summary>The queue is at its bound: nothing of the call was enqueued. Try later, add workers, or raise the limit.</summary>
/// <param name="bound">depth, bytes or age.</param>
public sealed class QueueFullException(string queue, string bound, string message) : Exception(message)
{
    public string Queue => queue;

    public string Bound => bound;
}
