namespace Slipway.Queue.V1;

/// <summary>Limits of one queue. All processes that use the queue should agree on them.</summary>
public sealed record WorkQueueOptions
{
    /// <summary>Ready, delayed, leased and dead together. 100,000 jobs of 1 KiB are about 150 MB of Redis memory.</summary>
    public int MaxJobs { get; init; } = 100_000;

    /// <summary>Larger work belongs in the content store, with its digest in the job. 256 KiB keeps one lease under a millisecond.</summary>
    public int MaxPayloadBytes { get; init; } = 256 * 1024;

    /// <summary>How long a completed id still makes an enqueue of it a no-op. A day covers every client's retries.</summary>
    public TimeSpan DoneRetention { get; init; } = TimeSpan.FromHours(24);

    /// <summary>A job that was leased and never heard of so often is dead (a crash loop). 5: above what a few restarts of the server in a row cause.</summary>
    public int MaxLostLeases { get; init; } = 5;

    /// <summary>Only for lost wake-ups (a publish during a reconnect); the wake channel does the work. ±10 % jitter.</summary>
    public TimeSpan SafetyPoll { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Entries per kind that one script call moves: keeps every script under about a millisecond.</summary>
    public int StepLimit { get; init; } = 100;
}
