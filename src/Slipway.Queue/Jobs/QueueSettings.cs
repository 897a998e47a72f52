namespace Slipway.Queue;

/// <summary>What one queue has to keep to, stored beside it: the same for every producer and worker, changed while they run.</summary>
public sealed record QueueSettings
{
    /// <summary>Nothing is handed out; enqueues go on.</summary>
    public bool Paused { get; init; }

    /// <summary>False: strict, the smaller level first, with an eighth of the jobs for the lower ones. True: in proportion to <see cref="Weights"/>.</summary>
    public bool Weighted { get; init; }

    /// <summary>By level, 0–7; each 1–1000.</summary>
    public IReadOnlyList<int> Weights { get; init; } = [64, 48, 32, 16, 8, 4, 2, 1];

    /// <summary>Ready, delayed and leased together. 1,000,000 jobs of 80 bytes are about 115 MB of Redis.</summary>
    public long MaxJobs { get; init; } = 1_000_000;

    /// <summary>Their entries' bytes together; 512 MiB: half of what the embedded Redis may take.</summary>
    public long MaxBytes { get; init; } = 512L * 1024 * 1024;

    /// <summary>Enqueues are refused while the oldest ready job is older; zero: no such bound.</summary>
    public TimeSpan MaxAge { get; init; }

    /// <summary>A job that was leased and never heard of so often is dead (<c>crash-loop</c>).</summary>
    public int MaxLostLeases { get; init; } = 3;

    public long MaxDead { get; init; } = 100_000;

    public DeadOverflow DeadOverflow { get; init; } = DeadOverflow.Pause;

    /// <summary>For ends of the kind <see cref="JobEndKind.Failed"/>.</summary>
    public RetryPolicy Retry { get; init; } = new();

    /// <summary>How long states, progress and results of tracked jobs are kept after their end.</summary>
    public TimeSpan KeepTracked { get; init; } = TimeSpan.FromHours(24);

    /// <summary>By job type; the empty name is the whole queue. At most 32.</summary>
    public IReadOnlyDictionary<string, TypeLimits> Types { get; init; } = new Dictionary<string, TypeLimits>();
}

/// <summary>What happens to a dead letter beyond <see cref="QueueSettings.MaxDead"/>. Never silently: counted and shown by each.</summary>
public enum DeadOverflow
{
    /// <summary>The queue hands out nothing until somebody made room.</summary>
    Pause,

    /// <summary>The oldest dead letters go, and are counted.</summary>
    DropOldest,
}

/// <summary>Limits of one job type over all workers; evaluated when jobs are handed out. Zero: no limit.</summary>
public sealed record TypeLimits
{
    public bool Paused { get; init; }

    /// <summary>Jobs at work at once.</summary>
    public int Concurrency { get; init; }

    /// <summary>Cost per second that is handed out on average.</summary>
    public double Rate { get; init; }

    /// <summary>Cost that may be handed out at once after a quiet time. Default: one second's worth, at least 1.</summary>
    public double Burst { get; init; }

    /// <summary>Opens the circuit when so many runs in a row failed, over all workers; 0: no breaker.</summary>
    public int BreakAfter { get; init; }

    /// <summary>Until the first probe; doubles with every failed probe up to 16 times of it.</summary>
    public TimeSpan BreakFor { get; init; } = TimeSpan.FromSeconds(10);
}

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
