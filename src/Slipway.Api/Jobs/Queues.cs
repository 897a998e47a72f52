namespace Slipway.Api;

/// <summary>A work queue of an org.</summary>
/// <param name="Name">2 to 39 characters of <c>a-z0-9-</c>, starting with a letter; what scopes name: <c>jobs:work:acme/mail</c>.</param>
public sealed record JobQueue(
    string Id, string Org, string Name, string Description, JobQueueSettings Settings, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

/// <summary>What a queue keeps to; effective within 100 ms at every worker. Times in milliseconds.</summary>
/// <param name="Paused">Nothing is leased out; enqueues go on.</param>
/// <param name="Weighted">False: strict, the smaller priority first, with an eighth of the jobs for the lower ones. True: in proportion to <paramref name="Weights"/>.</param>
/// <param name="Weights">By priority, 0–7; each 1–1000.</param>
/// <param name="MaxJobs">Ready, delayed and leased together; beyond it enqueues get 429 <c>queue_full</c>.</param>
/// <param name="MaxBytes">Of their entries.</param>
/// <param name="MaxAgeMs">Enqueues are refused while the oldest ready job is older; 0: no such bound.</param>
/// <param name="MaxLostLeases">A job that was leased and never heard of so often is a dead letter (<c>crash-loop</c>).</param>
/// <param name="DeadOverflow"><c>pause</c> (nothing is leased out until somebody made room) or <c>dropOldest</c>.</param>
/// <param name="KeepTrackedMs">How long state, progress and result of tracked jobs are kept after their end.</param>
/// <param name="Types">By job type; the empty name is the whole queue. At most 32.</param>
public sealed record JobQueueSettings(
    bool Paused,
    bool Weighted,
    IReadOnlyList<int> Weights,
    long MaxJobs,
    long MaxBytes,
    long MaxAgeMs,
    int MaxLostLeases,
    long MaxDead,
    string DeadOverflow,
    JobRetryPolicy Retry,
    long KeepTrackedMs,
    IReadOnlyDictionary<string, JobTypeLimits> Types);

/// <summary>Exponential backoff: each pause is a random 50–100 % of the doubled one.</summary>
/// <param name="MaxAttempts">Runs in all, 1–100.</param>
public sealed record JobRetryPolicy(int MaxAttempts = 8, long FirstDelayMs = 1000, long MaxDelayMs = 600_000);

/// <summary>Limits of one job type over all workers. 0: no limit.</summary>
/// <param name="Concurrency">Jobs at work at once.</param>
/// <param name="Rate">Cost per second that is leased out on average.</param>
/// <param name="Burst">Cost that may be leased out at once after a quiet time; 0: one second's worth.</param>
/// <param name="BreakAfter">Opens the circuit when so many runs in a row failed, over all workers.</param>
/// <param name="BreakForMs">Until the first probe; doubles with every failed one up to 16 times of it.</param>
public sealed record JobTypeLimits(bool Paused = false, int Concurrency = 0, double Rate = 0, double Burst = 0, int BreakAfter = 0, long BreakForMs = 10_000);

/// <summary>Settings to change; null: as it is (or the default, when the queue is created).</summary>
/// <param name="Types">Replaces the limits of the types it names; null as a type's limits removes them.</param>
public sealed record JobQueueSettingsChange(
    bool? Paused = null,
    bool? Weighted = null,
    IReadOnlyList<int>? Weights = null,
    long? MaxJobs = null,
    long? MaxBytes = null,
    long? MaxAgeMs = null,
    int? MaxLostLeases = null,
    long? MaxDead = null,
    string? DeadOverflow = null,
    JobRetryPolicy? Retry = null,
    long? KeepTrackedMs = null,
    IReadOnlyDictionary<string, JobTypeLimits?>? Types = null);

/// <param name="Name">2 to 39 characters of <c>a-z0-9-</c>, starting with a letter. Can't be changed.</param>
/// <param name="Description">At most 500 characters.</param>
public sealed record CreateQueueRequest(string Name, string? Description = null, JobQueueSettingsChange? Settings = null);

/// <summary>Fields left null stay as they are. Needs <c>If-Match</c>.</summary>
public sealed record UpdateQueueRequest(string? Description = null, JobQueueSettingsChange? Settings = null);

/// <param name="Type">Pauses or resumes this job type only; null: the queue.</param>
public sealed record PauseQueueRequest(string? Type = null);

/// <summary>One moment of a queue.</summary>
/// <param name="Ready">By priority, 0–7.</param>
/// <param name="Held">Jobs of limited types that wait for their limit, by type.</param>
/// <param name="Waiting">Jobs that wait for others (<c>after</c>).</param>
/// <param name="OldestReadyMs">Age of the job that waits longest: how far behind the workers are.</param>
/// <param name="Totals">Since the queue's first job: enqueued, completed, retried, died, cancelled, lost (leases), late, …</param>
/// <param name="DeadReasons">Dead letters by reason.</param>
/// <param name="PausedWhy">Null: leasing out. Else <c>settings</c> or <c>dead letters</c>.</param>
public sealed record JobQueueStats(
    string Queue,
    IReadOnlyList<long> Ready,
    long ReadyTotal,
    IReadOnlyDictionary<string, long> Held,
    long Delayed,
    long Leased,
    long Waiting,
    long Dead,
    long Bytes,
    long OldestReadyMs,
    IReadOnlyDictionary<string, long> Totals,
    IReadOnlyDictionary<string, long> DeadReasons,
    IReadOnlyList<JobTypeStats> Types,
    IReadOnlyList<JobWorker> Workers,
    string? PausedWhy,
    DateTimeOffset ServerTime);

/// <param name="Breaker"><c>closed</c>, <c>open</c> or <c>probing</c>.</param>
public sealed record JobTypeStats(string Type, JobTypeLimits Limits, long Held, long Running, string Breaker);

/// <param name="Name">As the worker calls itself.</param>
/// <param name="About">What it says of itself.</param>
public sealed record JobWorker(string Name, DateTimeOffset SeenAt, string About);

/// <param name="About">Host, version, concurrency; at most 500 characters.</param>
public sealed record JobWorkerReport(string About);

/// <summary>What <c>…/live</c> sends as the data of an event <c>stats</c>.</summary>
/// <param name="PerSecond">Rates of the totals since the event before: enqueued, completed, …</param>
public sealed record JobQueueLive(JobQueueStats Stats, IReadOnlyDictionary<string, double> PerSecond);

/// <summary>Rates of the last minutes, oldest first, by job type.</summary>
/// <param name="Errors">The most frequent reasons of failure over the whole time, most frequent first; at most 20.</param>
public sealed record JobQueueHistory(IReadOnlyList<JobMinute> Minutes, IReadOnlyList<JobErrorCount> Errors);

/// <param name="BusyMs">Time that runs took, together; divide by completed + failed.</param>
/// <param name="WaitedMs">Time between enqueue and lease, together.</param>
public sealed record JobMinute(DateTimeOffset Minute, string Type, long Completed, long Failed, long BusyMs, long WaitedMs);

public sealed record JobErrorCount(string Type, string Reason, long Count);

/// <summary>All queues of an org at a glance, with what it may have.</summary>
public sealed record JobsOverview(IReadOnlyList<JobQueueOverview> Queues, JobQuota Quota);

/// <summary>The numbers are null when the queue could not be asked.</summary>
public sealed record JobQueueOverview(
    string Name, long? Ready, long? Delayed, long? Leased, long? Dead, long? OldestReadyMs, int? Workers, string? PausedWhy, IReadOnlyDictionary<string, long>? Totals);

/// <param name="MaxJobs">The most a queue's <c>maxJobs</c> may say.</param>
/// <param name="MaxBytes">The most all queues' <c>maxBytes</c> together may say.</param>
/// <param name="Bytes">What they say now.</param>
public sealed record JobQuota(int Queues, int MaxQueues, long MaxJobs, long Bytes, long MaxBytes);
