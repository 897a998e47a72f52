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

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
