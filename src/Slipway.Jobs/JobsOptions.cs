namespace Slipway.Jobs;

/// <summary>What tenants may have.</summary>
public sealed record JobsOptions
{
    /// <summary>Queues of one org. 100: each costs a server that uses it a subscription and about 20 kB.</summary>
    public int MaxQueues { get; init; } = 100;

    /// <summary>The most a queue's <c>maxJobs</c> may say. 1,000,000 jobs of 80 bytes are about 115 MB of Redis.</summary>
    public long MaxJobs { get; init; } = 1_000_000;

    /// <summary>The most that <c>maxBytes</c> of all queues of an org may say together. 512 MiB: half of what the embedded Redis may take.</summary>
    public long MaxBytes { get; init; } = 512L * 1024 * 1024;

    /// <summary><c>maxBytes</c> of a queue that does not ask for another. 64 MiB: eight such queues fit an org.</summary>
    public long DefaultBytes { get; init; } = 64L * 1024 * 1024;

    /// <summary>The largest payload over HTTP. 256 KiB is what hosted queues take; a lease of 1,000 jobs must fit into memory. Larger work belongs in a blob store.</summary>
    public int MaxPayloadBytes { get; init; } = 256 * 1024;

    /// <summary>The largest body of a bulk enqueue: 10,000 jobs of 3 kB.</summary>
    public int MaxBulkBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>Queues (<c>org/queue</c>) that get metrics of their own; the others share <see cref="MetricBuckets"/>.</summary>
    public IReadOnlyList<string> MetricQueues { get; init; } = [];

    /// <summary>Labels of the metrics of all other queues: enough to see which sixteenth misbehaves.</summary>
    public const int MetricBuckets = 16;
}
