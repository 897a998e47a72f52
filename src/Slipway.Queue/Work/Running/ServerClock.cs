namespace Slipway.Queue.Work;

/// <summary>The server's clock, as far as its answers told: moves on by the process's monotonic clock, never by its wall clock.</summary>
internal sealed class ServerClock(TimeProvider time)
{
    private readonly Lock gate = new();
    private DateTimeOffset seen;
    private long seenAt;

    public bool IsKnown
    {
        get
        {
            lock (gate)
            {
                return seen != default;
            }
        }
    }

    public DateTimeOffset Now
    {
        get
        {
            lock (gate)
            {
                return seen == default ? time.GetUtcNow() : seen + time.GetElapsedTime(seenAt);
            }
        }
    }

    /// <summary>An answer said so, just now.</summary>
    public void Saw(DateTimeOffset serverTime)
    {
        lock (gate)
        {
            (seen, seenAt) = (serverTime, time.GetTimestamp());
        }
    }
}
