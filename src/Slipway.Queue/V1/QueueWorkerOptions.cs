namespace Slipway.Queue.V1;

public sealed record QueueWorkerOptions
{
    /// <summary>Handlers at work at once.</summary>
    public int Concurrency { get; init; } = 4;

    /// <summary>A job of a dead worker comes back after at most this and <see cref="ReapInterval"/>. Renewed after each third of it.</summary>
    public TimeSpan Visibility { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>±20 % jitter. 2 s: with the safety poll below one command per second and idle process.</summary>
    public TimeSpan ReapInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>A handler that runs longer is cancelled and its attempt counts as failed; one that ignores even that loses its lease.</summary>
    public TimeSpan MaxRunTime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>At a stop, running handlers may finish this long; then they are cancelled and their jobs given back.</summary>
    public TimeSpan StopGrace { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>After that cancellation, handlers that still run this much later are left to themselves; their leases expire.</summary>
    public TimeSpan AbandonAfter { get; init; } = TimeSpan.FromSeconds(5);

    public RetryPolicy Retry { get; init; } = new();
}
