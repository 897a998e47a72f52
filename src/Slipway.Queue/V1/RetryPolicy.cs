namespace Slipway.Queue.V1;

/// <summary>Exponential backoff with jitter: each pause is a random 50–100 % of the doubled one, so that jobs that failed together do not return together.</summary>
public sealed record RetryPolicy
{
    /// <summary>Runs in all. 8 with the pauses below: about two minutes of trying, longer than a restart of anything here takes.</summary>
    public int MaxAttempts { get; init; } = 8;

    public TimeSpan FirstDelay { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>The pause after the given failed attempt (1 = first), or null when that was the last.</summary>
    /// <param name="random">From 0 to 1.</param>
    public TimeSpan? DelayAfter(int attempt, double random)
    {
        if (attempt >= MaxAttempts)
        {
            return null;
        }

        // 30 doublings of a millisecond are 12 days: beyond any sensible MaxDelay, and no overflow.
        double doubled = FirstDelay.TotalMilliseconds * Math.Pow(2, Math.Min(attempt - 1, 30));
        return TimeSpan.FromMilliseconds(Math.Min(doubled, MaxDelay.TotalMilliseconds) * (0.5 + (random / 2)));
    }
}
