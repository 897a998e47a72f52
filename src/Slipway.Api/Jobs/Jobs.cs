using System.Text.Json;

namespace Slipway.Api;

/// <summary>A job to be enqueued. Ids of jobs and batches are UUIDs.</summary>
/// <param name="Type">Chooses the handler. 1–100 printable ASCII characters without blanks and braces.</param>
/// <param name="Payload">Any JSON value; kept byte by byte as sent.</param>
/// <param name="PayloadBytes">Any bytes, in base64; instead of <paramref name="Payload"/>.</param>
/// <param name="Id">Default: a new UUIDv7.</param>
/// <param name="Priority">0 (first) to 7 (last); 3 unless given.</param>
/// <param name="DelayMs">Not before so many milliseconds after the enqueue.</param>
/// <param name="At">Not before this moment, by the server's clock; at most one of this and <paramref name="DelayMs"/>.</param>
/// <param name="Unique">While a job with this key waits or runs, no second one is added. 1–200 printable ASCII characters.</param>
/// <param name="UniqueForMs">The key stays taken so long after the job completed.</param>
/// <param name="Cost">What the job takes from a rate limit, 1–255; 1 unless given.</param>
/// <param name="MaxAttempts">Runs in all before it is a dead letter, 1–255; null: the queue's policy.</param>
/// <param name="TimeoutMs">What a run may take; kept by the worker.</param>
/// <param name="Track">Keeps state, progress and result under the id, and lets the job be cancelled.</param>
/// <param name="Batch">The open batch it belongs to.</param>
/// <param name="After">Tracked jobs that must complete before this one starts; at most 100.</param>
/// <param name="TraceParent">W3C trace context; default: that of the request.</param>
public sealed record NewJob(
    string Type,
    JsonElement? Payload = null,
    byte[]? PayloadBytes = null,
    Guid? Id = null,
    int? Priority = null,
    long? DelayMs = null,
    DateTimeOffset? At = null,
    string? Unique = null,
    long? UniqueForMs = null,
    int? Cost = null,
    int? MaxAttempts = null,
    long? TimeoutMs = null,
    bool? Track = null,
    Guid? Batch = null,
    IReadOnlyList<Guid>? After = null,
    string? TraceParent = null);

/// <summary>Up to 1,000 jobs, added all or none. As <c>application/x-ndjson</c>: one <see cref="NewJob"/> a line, up to 10,000, added in blocks of 1,000.</summary>
public sealed record BulkJobsRequest(IReadOnlyList<NewJob> Jobs);

/// <param name="Id">The job's; where a unique key was taken, the id of the job that holds it.</param>
/// <param name="Outcome">
/// <c>added</c>, <c>duplicate</c>, <c>batchClosed</c> (or not known), or <c>dependencyFailed</c> (a job it should wait for is dead, cancelled or not known).
/// </param>
public sealed record EnqueuedJob(Guid Id, string Outcome);

/// <param name="Jobs">In the order they were sent.</param>
public sealed record EnqueuedJobs(int Added, IReadOnlyList<EnqueuedJob> Jobs);

/// <summary>Leases jobs, waiting for some if there are none.</summary>
/// <param name="Max">Jobs wanted, 0–1000; 1 unless given. 0 only closes what is in <paramref name="Finished"/>.</param>
/// <param name="LeaseMs">1,000–3,600,000 (1 h); 30,000 unless given. Extend before it ends.</param>
/// <param name="WaitMs">How long the answer may be held while there is nothing, up to 30,000; 0 unless given.</param>
/// <param name="Worker">1–64 characters of <c>A-Za-z0-9._:-</c>, shown among the queue's workers.</param>
/// <param name="Finished">Blocks of which every job not ended yet is done: closed in the same step. At most 100.</param>
/// <param name="Raw">True: payloads come as <c>payloadBytes</c> always. Else as <c>payload</c> when they are JSON.</param>
public sealed record LeaseRequest(
    int Max = 1, long LeaseMs = 30_000, long WaitMs = 0, string? Worker = null, IReadOnlyList<string>? Finished = null, bool Raw = false);

/// <summary>The same over up to 20 queues of the org: the first named that has jobs, then the next.</summary>
public sealed record LeaseQueuesRequest(
    IReadOnlyList<string> Queues, int Max = 1, long LeaseMs = 30_000, long WaitMs = 0, string? Worker = null, bool Raw = false);

/// <param name="Blocks">None, one, or more (types with limits come in blocks of their own).</param>
/// <param name="Late">Of the finished blocks those whose lease was lost: others do or did their jobs again.</param>
/// <param name="NextMs">When something is due that no wake-up will tell. Null: nothing.</param>
/// <param name="More">There was more than wanted: lease again at once when there is room.</param>
/// <param name="Cancelled">Running jobs of the queue that somebody asked to cancel in the last ten minutes.</param>
public sealed record LeasedBlocks(
    DateTimeOffset ServerTime, IReadOnlyList<LeasedBlock> Blocks, IReadOnlyList<string> Late, long? NextMs, bool More, IReadOnlyList<Guid> Cancelled);

/// <summary>Jobs leased together; they are ended by index.</summary>
/// <param name="Id">Opaque; names the lease in every later call, at the queue it came from.</param>
/// <param name="Token">Fencing token: every block of the queue has a higher one than all before.</param>
/// <param name="Deadline">By the server's clock, unless extended.</param>
public sealed record LeasedBlock(string Id, string Queue, long Token, DateTimeOffset LeasedAt, DateTimeOffset Deadline, IReadOnlyList<LeasedJob> Jobs);

/// <param name="Attempt">1 for the first run.</param>
/// <param name="LostLeases">How often a worker took this job and was never heard of again.</param>
/// <param name="CancelRequested">Cancelled before it started: end it as <c>cancelled</c> without running it.</param>
/// <param name="Damage">Null: readable. Else why this entry can't be: end it as dead.</param>
public sealed record LeasedJob(
    Guid Id,
    string Type,
    JsonElement? Payload,
    byte[]? PayloadBytes,
    int Priority,
    int Attempt,
    int LostLeases,
    DateTimeOffset EnqueuedAt,
    int MaxAttempts,
    long TimeoutMs,
    string? Unique,
    Guid? Batch,
    bool Tracked,
    int Cost,
    string? TraceParent,
    bool CancelRequested,
    string? Damage);

/// <summary>Ends jobs of a block, by index. With neither list, all that have not ended are done.</summary>
/// <param name="Done">Completed, without a result.</param>
/// <param name="Ended">Those that ended otherwise, or with a result.</param>
public sealed record AckBlockRequest(IReadOnlyList<int>? Done = null, IReadOnlyList<EndedJob>? Ended = null);

/// <param name="Kind">
/// <c>completed</c>; <c>failed</c> (the queue's retry policy decides), <c>retry</c> (again after <paramref name="RetryAfterMs"/>), <c>dead</c> (a dead
/// letter), <c>released</c> (given back unstarted, the attempt not counted), <c>cancelled</c> (final, no dead letter).
/// </param>
/// <param name="Reason">Groups dead letters and errors: <c>timeout</c>, <c>exit 1</c>. At most 100 characters.</param>
/// <param name="Error">For people; at most 2,000 characters are kept.</param>
/// <param name="Result">Of a tracked job, any JSON value; at most 64 KiB.</param>
/// <param name="ResultBytes">The same as bytes, in base64.</param>
public sealed record EndedJob(
    int Index, string Kind, long? RetryAfterMs = null, string? Reason = null, string? Error = null, JsonElement? Result = null, byte[]? ResultBytes = null);

/// <summary>Several blocks of one queue; at most 100.</summary>
public sealed record AckBlocksRequest(IReadOnlyList<AckedBlock> Blocks);

public sealed record AckedBlock(string Id, IReadOnlyList<int>? Done = null, IReadOnlyList<EndedJob>? Ended = null);

/// <param name="State">
/// <c>acked</c> or <c>extended</c>; or <c>late</c>: the lease is lost, nothing was done, others do or did the jobs again: stop working on it.
/// </param>
public sealed record BlockState(string Id, string State);

/// <param name="Cancelled">Running jobs of the queue that somebody asked to cancel in the last ten minutes.</param>
public sealed record BlockStates(IReadOnlyList<BlockState> Blocks, IReadOnlyList<Guid> Cancelled);

/// <param name="LeaseMs">From now, 1,000–3,600,000 (1 h).</param>
public sealed record ExtendBlockRequest(long LeaseMs = 30_000);

public sealed record ExtendBlocksRequest(IReadOnlyList<string> Blocks, long LeaseMs = 30_000);

/// <summary>Answer of <c>…/wake</c>: pass <paramref name="Seen"/> as <c>?after=</c> the next time and no wake-up is missed.</summary>
public sealed record QueueWake(string Seen, IReadOnlyList<Guid> Cancelled);

/// <summary>What is known of a tracked job.</summary>
/// <param name="State"><c>waiting</c>, <c>ready</c>, <c>running</c>, <c>completed</c>, <c>dead</c> or <c>cancelled</c>.</param>
/// <param name="Progress">0–100, as the worker last said.</param>
public sealed record TrackedJob(
    Guid Id, string Type, string State, int Attempt, double Progress, string Note, JsonElement? Result, byte[]? ResultBytes, string Error,
    DateTimeOffset UpdatedAt, bool CancelRequested);

/// <param name="Progress">0–100.</param>
/// <param name="Note">At most 500 characters.</param>
public sealed record JobProgressRequest(double Progress, string Note = "");

/// <param name="Callback">Enqueued exactly once, when the batch is closed and its last job has ended.</param>
/// <param name="Parent">A batch that this one is a part of: its callback waits for this one's.</param>
public sealed record OpenBatchRequest(NewJob Callback, Guid? Parent = null);

/// <param name="Open">More jobs may be added; the callback waits for the closing.</param>
public sealed record JobBatch(Guid Id, long Total, long Pending, long Failed, bool Open, bool CalledBack);

/// <summary>A job that waits, as <c>…/peek</c> shows it.</summary>
/// <param name="Where"><c>ready</c>, <c>delayed</c>, …</param>
public sealed record QueuedJob(
    Guid Id, string Type, string Where, int Priority, int Attempt, DateTimeOffset EnqueuedAt, DateTimeOffset? Due, string? Unique, JsonElement? Payload, byte[]? PayloadBytes);

public sealed record QueuedJobs(IReadOnlyList<QueuedJob> Jobs);

/// <param name="Id">Its place among the dead letters; names it in redrive and purge.</param>
public sealed record DeadJob(
    string Id, Guid JobId, string Type, int Priority, int Attempt, int LostLeases, string Reason, string Error, DateTimeOffset EnqueuedAt, DateTimeOffset DiedAt,
    string? Unique, JsonElement? Payload, byte[]? PayloadBytes);

/// <summary>Which dead letters: all that fit every given condition; <c>{}</c> is all.</summary>
/// <param name="Ids">At most 1,000.</param>
/// <param name="PerSecond">Jobs put back a second; null: as fast as it goes in bounded steps.</param>
public sealed record RedriveRequest(IReadOnlyList<string>? Ids = null, string? Reason = null, string? Type = null, double? PerSecond = null);

/// <inheritdoc cref="RedriveRequest"/>
public sealed record PurgeDeadRequest(IReadOnlyList<string>? Ids = null, string? Reason = null, string? Type = null);

/// <summary>A redrive or purge under way. It goes on when the client leaves, and on another server when this one stops.</summary>
/// <param name="Kind"><c>redrive</c> or <c>purge</c>.</param>
/// <param name="State"><c>running</c>, <c>done</c>, <c>failed</c> or <c>cancelled</c>.</param>
/// <param name="Done">Dead letters dealt with so far.</param>
public sealed record QueueOperation(
    string Id, string Queue, string Kind, string State, long Done, string? Reason, string? Type, double? PerSecond, string? Error, DateTimeOffset CreatedAt, DateTimeOffset? FinishedAt);

/// <summary>A schedule: enqueues its job at each slot, exactly once whatever the number of servers.</summary>
/// <param name="Cron">Five fields (or six, with seconds first).</param>
/// <param name="TimeZone">An IANA name; <c>UTC</c> unless given.</param>
/// <param name="CatchUp">For slots that passed while no server ran: <c>skip</c>, <c>once</c> (the latest) or <c>all</c> (the latest 100).</param>
/// <param name="NextAt">The next slot; null while it is paused, or when there is none.</param>
public sealed record JobSchedule(
    string Name, string Cron, string TimeZone, string CatchUp, bool Paused, NewJob Job, DateTimeOffset? NextAt, DateTimeOffset? LastFiredAt, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

/// <summary>Makes or replaces a schedule. Its job has no id, delay, batch or predecessors.</summary>
public sealed record SetScheduleRequest(string Cron, NewJob Job, string? TimeZone = null, string? CatchUp = null, bool Paused = false);
