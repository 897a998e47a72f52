namespace Slipway.Queue.V1;

/// <summary>A job to be enqueued.</summary>
/// <param name="Id">Names the work, not the attempt to enqueue it: while an id is known, enqueueing it again changes nothing. 1–200 printable ASCII characters without blanks and braces.</param>
/// <param name="Type">Chooses the handler. Same alphabet, 1–100 characters.</param>
public sealed record JobDraft(string Id, string Type, ReadOnlyMemory<byte> Payload);

/// <summary>What a handler gets.</summary>
/// <param name="Attempt">1 for the first run. Runs that were given back at a stop are not counted.</param>
/// <param name="LostLeases">How often a worker took this job and was never heard of again.</param>
/// <param name="EnqueuedAt">By the clock of Redis.</param>
/// <param name="TraceParent">W3C trace context of whoever enqueued it; empty when there was none.</param>
public sealed record Job(
    string Id,
    string Type,
    ReadOnlyMemory<byte> Payload,
    int Attempt,
    int LostLeases,
    DateTimeOffset EnqueuedAt,
    string TraceParent,
    string TraceState);

/// <summary>The right to work on a job until <paramref name="Deadline"/> (clock of Redis), unless extended.</summary>
/// <param name="Token">Fencing token: every lease of the queue has a higher one than all before. Hand it to whatever the job writes to.</param>
public sealed record Lease(Job Job, long Token, DateTimeOffset LeasedAt, DateTimeOffset Deadline);

/// <param name="Reason">Why it died: the last error, <c>crash loop: …</c>, <c>damaged: …</c>, <c>no handler …</c>.</param>
/// <param name="Job">Null when the stored entry cannot be read.</param>
public sealed record DeadLetter(string Id, Job? Job, string Reason, DateTimeOffset DiedAt);

public enum EnqueueOutcome
{
    Added,

    /// <summary>The id is ready, delayed or being worked on.</summary>
    AlreadyWaiting,

    /// <summary>The id was completed within <see cref="WorkQueueOptions.DoneRetention"/>.</summary>
    AlreadyDone,

    /// <summary>The id is a dead letter: redrive or discard it first.</summary>
    AlreadyDead,
}

/// <param name="OldestReady">Age of the job that is next in line: how far behind the workers are.</param>
public sealed record QueueStats(long Ready, long Delayed, long Leased, long Dead, long Done, TimeSpan OldestReady);

/// <summary>What one bounded step of the reaper did.</summary>
public readonly record struct ReapResult(long PutBack, long Died, long Promoted, long Forgotten, int Limit)
{
    public bool MoreToDo => PutBack + Died >= Limit || Promoted >= Limit || Forgotten >= Limit;
}

/// <summary>The queue holds <see cref="WorkQueueOptions.MaxJobs"/> jobs: the caller should try later. Nothing was enqueued.</summary>
public sealed class QueueFullException(string queue, int limit)
    : Exception($"Queue {queue} holds {limit} jobs, dead letters included; redrive or discard those, add workers, or raise the limit.");

/// <summary>Thrown by a handler: another attempt would end the same way, so the job goes straight to the dead letters.</summary>
public sealed class PermanentJobException(string message, Exception? innerException = null) : Exception(message, innerException);
