namespace Slipway.Content;

/// <summary>
/// Remembers that a service is out of order, so that not every reader waits for a timeout of its own. Closed: calls go through. After
/// <see cref="Threshold"/> failures in a row it is open: calls fail at once, until a pause is over. Then one call is let through; its
/// outcome closes the breaker or doubles the pause.
/// </summary>
internal sealed class CircuitBreaker(TimeProvider time)
{
    /// <summary>5: one lost connection per pooled connection in use is no outage yet; five answers in a row that failed are.</summary>
    public const int Threshold = 5;

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);

    /// <summary>30 s: what somebody who repaired it waits at most until it is noticed.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    private readonly Lock gate = new();
    private int failures;
    private long failedCalls;
    private TimeSpan pause;
    private long openUntil;
    private bool probing;

    /// <summary>What went wrong last, null when the last call was fine.</summary>
    public string? Problem { get; private set; }

    /// <summary>Since when nothing has succeeded; null when the last call did.</summary>
    public DateTimeOffset? FailingSince { get; private set; }

    /// <summary>Calls that failed, since the start.</summary>
    public long FailedCalls => Interlocked.Read(ref failedCalls);

    public bool IsOpen
    {
        get
        {
            lock (gate)
            {
                return failures >= Threshold;
            }
        }
    }

    /// <summary>False: don't ask, fail. A caller that got true tells the outcome.</summary>
    public bool TryEnter()
    {
        lock (gate)
        {
            if (failures < Threshold)
            {
                return true;
            }

            if (probing || time.GetTimestamp() < openUntil)
            {
                return false;
            }

            probing = true;
            return true;
        }
    }

    public void Succeeded()
    {
        lock (gate)
        {
            failures = 0;
            probing = false;
            pause = default;
            Problem = null;
            FailingSince = null;
        }
    }

    public void Failed(string problem)
    {
        lock (gate)
        {
            failures++;
            failedCalls++;
            probing = false;
            Problem = problem;
            FailingSince ??= time.GetUtcNow();
            if (failures >= Threshold)
            {
                pause = pause == default ? FirstPause : TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, LongestPause.Ticks));
                openUntil = time.GetTimestamp() + (long)(pause.TotalSeconds * time.TimestampFrequency);
            }
        }
    }

    /// <summary>The caller gave up for its own reasons: says nothing about the service.</summary>
    public void Abandoned()
    {
        lock (gate)
        {
            probing = false;
        }
    }
}
