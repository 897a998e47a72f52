namespace Slipway.Queue;

/// <summary>One process's view of a queue. What all must agree on is in <see cref="QueueSettings"/>.</summary>
public sealed record BrokerOptions
{
    /// <summary>Default: host, pid and a random part.</summary>
    public string? WorkerId { get; init; }

    /// <summary>Larger payloads lie beside the queue: two copies of an entry move through Redis per job. 8 KiB: see docs/protocols/queue.md.</summary>
    public int InlineBytes { get; init; } = 8 * 1024;

    /// <summary>Larger work belongs in a blob store, with its digest in the job. 16 MiB.</summary>
    public int MaxPayloadBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Settings of a queue that nobody configured yet.</summary>
    public QueueSettings Initial { get; init; } = new();

    /// <summary>Opens the queue also on a Redis that may evict its jobs when it is full (maxmemory-policy allkeys-…). Never for work that matters.</summary>
    public bool AllowEviction { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>Redis is configured to forget keys when it is full: jobs would vanish without a trace. Set <c>maxmemory-policy noeviction</c>.</summary>
public sealed class EvictionException(string policy)
    : Exception($"Redis may evict jobs: its maxmemory-policy is {policy}. Set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf), or allow it with AllowEviction.")
{
    public string Policy => policy;
}
