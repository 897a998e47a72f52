namespace Slipway.Queue;

/// <summary>
/// One queue, as blocks of jobs: what workers and producers are built on. Two ways lead there: Redis itself
/// (<c>RedisBroker</c>), and a Slipway server's HTTP API. States and promises: docs/protocols/queue.md.
/// </summary>
/// <remarks>
/// Every transition is one script: a crash falls before or after it, never into it. The clock is that of Redis. Every call may be
/// repeated without harm and is, when a connection is cut before the answer; a fetch whose answer is lost is found again by
/// <see cref="RecoverAsync"/>. Delivery is at least once.
/// </remarks>
public interface IQueueBroker : IAsyncDisposable
{
    string Queue { get; }

    /// <summary>Names this process (or this HTTP caller) among the workers; blocks belong to it.</summary>
    string WorkerId { get; }

    /// <summary>Adds all or none (none: an exception), in order. Up to 1,000.</summary>
    /// <exception cref="QueueFullException">At a bound of the settings.</exception>
    Task<IReadOnlyList<Enqueued>> EnqueueAsync(IReadOnlyList<JobDraft> jobs, Durability durability, CancellationToken cancellationToken);

    /// <summary>Closes finished blocks and leases up to so many jobs, at once: never waits.</summary>
    Task<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken);

    /// <summary>Marks jobs of still running blocks as done. False per block: its lease is lost.</summary>
    Task<IReadOnlyList<bool>> AckAsync(IReadOnlyList<BlockAck> acks, CancellationToken cancellationToken);

    /// <summary>Ends jobs of one block otherwise than by a bit. False: the lease is lost, nothing was done. The block is closed with its last job.</summary>
    Task<bool> SettleAsync(string block, IReadOnlyList<JobEnd> ends, CancellationToken cancellationToken);

    /// <summary>Moves deadlines to <paramref name="lease"/> from now. False per block: its lease is lost, stop working on it.</summary>
    Task<IReadOnlyList<bool>> ExtendAsync(IReadOnlyList<string> blocks, TimeSpan lease, CancellationToken cancellationToken);

    /// <summary>Puts the unfinished jobs of expired blocks back, or among the dead when lost too often. Blocks that are not (or no more) expired are left alone.</summary>
    Task<BlockReap> ReapAsync(IReadOnlyList<string> expired, CancellationToken cancellationToken);

    /// <summary>This worker's blocks that are not among <paramref name="known"/>: the answer of their fetch was lost.</summary>
    Task<IReadOnlyList<JobBlock>> RecoverAsync(IReadOnlyList<string> known, CancellationToken cancellationToken);

    /// <summary>Completes when something may have become ready since the last call's answer, or a control message came. Never polls.</summary>
    /// <remarks>Get the task before fetching, await it after: nothing is missed in between.</remarks>
    Task NextWake { get; }

    /// <summary>Ids of running jobs that somebody wants cancelled; called on the read loop, must be quick.</summary>
    event Action<Guid>? CancelRequested;

    /// <summary>Tells the others that this worker lives. Cheap; every 10 s.</summary>
    Task ReportAsync(WorkerReport report, CancellationToken cancellationToken);

    /// <summary>Progress of a tracked job (0–100) and a note of at most 500 characters.</summary>
    Task<bool> ProgressAsync(Guid id, double progress, string note, CancellationToken cancellationToken);

    /// <summary>A tracked job; null: not known (any more).</summary>
    Task<JobStatus?> FindAsync(Guid id, CancellationToken cancellationToken);

    /// <summary>Cancels a tracked job: waiting ones never start, running ones are told. False: not known, or at its end.</summary>
    Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken);

    /// <summary>A batch: <paramref name="callback"/> is enqueued exactly once, when the batch is closed and its last job has ended.</summary>
    /// <param name="parent">A batch that this one is a part of: its callback waits for this one's.</param>
    Task<Guid> OpenBatchAsync(JobDraft callback, Guid? parent, CancellationToken cancellationToken);

    Task<BatchStatus?> CloseBatchAsync(Guid batch, CancellationToken cancellationToken);

    Task<BatchStatus?> FindBatchAsync(Guid batch, CancellationToken cancellationToken);

    /// <summary>Enqueues <paramref name="job"/> for this slot of a schedule, unless that slot (or a later one) was fired already, by whomever.</summary>
    /// <returns>False: fired before.</returns>
    Task<bool> FireAsync(string schedule, DateTimeOffset slot, JobDraft job, CancellationToken cancellationToken);

    /// <summary>The last fired slot of a schedule.</summary>
    Task<DateTimeOffset?> LastFiredAsync(string schedule, CancellationToken cancellationToken);
}

/// <param name="Counts">Per job type since the last report: for dashboards, not for accounting.</param>
/// <param name="Worker">Who lives, when one process speaks for others; null: <see cref="IQueueBroker.WorkerId"/>.</param>
public sealed record WorkerReport(string About, IReadOnlyDictionary<string, TypeCounts> Counts, string? Worker = null);

/// <param name="Errors">By reason; at most 20 are kept per minute and type.</param>
public sealed record TypeCounts(long Completed, long Failed, TimeSpan Busy, TimeSpan Waited, IReadOnlyDictionary<string, long> Errors);

/// <summary>What people do to a queue.</summary>
public interface IQueueAdmin
{
    Task<QueueStats> StatsAsync(CancellationToken cancellationToken);

    Task<QueueSettings> SettingsAsync(CancellationToken cancellationToken);

    /// <summary>Effective within 100 ms at every worker.</summary>
    /// <param name="change">Applied to the newest settings; called again when somebody else changed them in between.</param>
    Task<QueueSettings> ConfigureAsync(Func<QueueSettings, QueueSettings> change, CancellationToken cancellationToken);

    /// <summary>Jobs that wait, next one first. Up to 1,000; never blocks the queue over 1 ms.</summary>
    /// <param name="place">ready, delayed, dead, or a held type.</param>
    Task<IReadOnlyList<PeekedJob>> PeekAsync(string place, int count, CancellationToken cancellationToken);

    /// <summary>Dead letters, the latest first, before <paramref name="before"/> (an id) when given. Up to 1,000.</summary>
    Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(DeadFilter filter, string? before, int count, CancellationToken cancellationToken);

    /// <summary>Puts dead letters back to work with all their attempts, at most <paramref name="perSecond"/> (null: as fast as it goes in bounded steps).</summary>
    /// <returns>How many went back.</returns>
    Task<long> RedriveAsync(DeadFilter filter, double? perSecond, IProgress<long>? progress, CancellationToken cancellationToken);

    /// <summary>Forgets dead letters for good.</summary>
    Task<long> PurgeDeadAsync(DeadFilter filter, IProgress<long>? progress, CancellationToken cancellationToken);

    /// <summary>Rates per minute of the last hour, by type: for dashboards.</summary>
    Task<IReadOnlyList<MinuteCounts>> HistoryAsync(int minutes, CancellationToken cancellationToken);

    /// <summary>Removes the queue with all it holds. Refused while it has workers, unless forced.</summary>
    Task<bool> DeleteAsync(bool force, CancellationToken cancellationToken);
}

public sealed record MinuteCounts(DateTimeOffset Minute, string Type, TypeCounts Counts);
