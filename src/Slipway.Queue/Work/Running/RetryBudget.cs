namespace Slipway.Queue.Work;

/// <summary>
/// How many retries are due in good time: a share of the completed jobs, and some per second in any case. Those beyond it are
/// postponed, never dropped.
/// </summary>
internal sealed class RetryBudget(double share, double floorPerSecond, TimeProvider time)
{
    /// <summary>What a quiet time saves up: ten seconds' worth of the floor, so that a small burst of errors is retried as its policy says.</summary>
    private readonly double most = Math.Max(1, floorPerSecond * 10);

    private readonly Lock gate = new();
    private double tokens = Math.Max(1, floorPerSecond * 10);
    private long filledAt = time.GetTimestamp();

    public void Completed(long jobs)
    {
        lock (gate)
        {
            // Earned retries are not capped by what the floor saves up: at 100,000 jobs/s the share of one report is far more.
            tokens = Math.Min(tokens + (jobs * share), Math.Max(most, jobs * share * 10));
        }
    }

    public bool TryTake()
    {
        lock (gate)
        {
            long now = time.GetTimestamp();
            tokens = tokens >= most ? tokens : Math.Min(most, tokens + (time.GetElapsedTime(filledAt, now).TotalSeconds * floorPerSecond));
            filledAt = now;
            if (tokens < 1)
            {
                return false;
            }

            tokens--;
            return true;
        }
    }
}
