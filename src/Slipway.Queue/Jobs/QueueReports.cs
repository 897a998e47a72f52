namespace Slipway.Queue;

/// <summary>One moment of a queue.</summary>
/// <param name="Ready">By level, 0–7.</param>
/// <param name="Held">Jobs of limited types that wait for their limit, by type.</param>
/// <param name="OldestReady">Age of the job that waits longest: how far behind the workers are.</param>
/// <param name="Bytes">Of ready, delayed and leased entries.</param>
/// <param name="Totals">Since the queue's first job: enqueued, completed, retried, died, cancelled, lost (leases), late (ends refused by fencing), shed, …</param>
/// <param name="DeadReasons">Dead letters by reason.</param>
/// <param name="PausedWhy">Null: handing out. Else "settings", or "dead letters" (see <see cref="DeadOverflow.Pause"/>).</param>
public sealed record QueueStats(
    IReadOnlyList<long> Ready,
    IReadOnlyDictionary<string, long> Held,
    long Delayed,
    long Leased,
    long Waiting,
    long Dead,
    long Bytes,
    TimeSpan OldestReady,
    IReadOnlyDictionary<string, long> Totals,
    IReadOnlyDictionary<string, long> DeadReasons,
    IReadOnlyList<TypeState> Types,
    IReadOnlyList<WorkerInfo> Workers,
    string? PausedWhy,
    DateTimeOffset ServerTime)
{
    public long ReadyTotal => Ready.Sum() + Held.Values.Sum();
}

/// <param name="Breaker">closed, open or probing.</param>
public sealed record TypeState(string Type, TypeLimits Limits, long Held, long Running, string Breaker);

/// <param name="Seen">Last sign of life, by the server's clock.</param>
/// <param name="About">What it says of itself: host, pid, concurrency, types, processed.</param>
public sealed record WorkerInfo(string Id, DateTimeOffset Seen, string About);

/// <param name="Id">Place in the dead letters; names it in redrive and purge.</param>
/// <param name="Job">What can be read of it; <see cref="Job.Damage"/> tells when not all.</param>
public sealed record DeadLetter(string Id, Job Job, string Reason, string Error, DateTimeOffset DiedAt);

/// <summary>Which dead letters: all that fit every given condition.</summary>
public sealed record DeadFilter(IReadOnlyList<string>? Ids = null, string? Reason = null, string? Type = null);

public enum JobState
{
    /// <summary>Waits for others (<see cref="JobDraft.After"/>).</summary>
    Waiting,
    Ready,
    Running,
    Completed,
    Dead,
    Cancelled,
}

/// <summary>What is known of a tracked job.</summary>
/// <param name="Progress">What the handler last said: 0–100 and a note.</param>
public sealed record JobStatus(
    Guid Id, string Type, JobState State, int Attempt, double Progress, string Note, ReadOnlyMemory<byte> Result, string Error, DateTimeOffset UpdatedAt, bool CancelRequested);

/// <param name="Open">More jobs may be added; the callback waits for the closing.</param>
public sealed record BatchStatus(Guid Id, long Total, long Pending, long Failed, bool Open, bool CalledBack);

public sealed record PeekedJob(Job Job, string Where, DateTimeOffset? Due);
