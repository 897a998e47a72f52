namespace Slipway.Chaos.Accounting;

/// <summary>The oracle's judgement of one scenario.</summary>
internal sealed record Account
{
    public int Offered { get; init; }

    public int Acknowledged { get; init; }

    public int Refused { get; init; }

    /// <summary>Offered, without an answer: they may have been enqueued or not.</summary>
    public int Unknown { get; init; }

    public int Executions { get; init; }

    /// <summary>Ids that were executed to success and are not among the dead.</summary>
    public int Completed { get; init; }

    public int Dead { get; init; }

    public IReadOnlyList<ulong> Lost { get; init; } = [];

    public IReadOnlyList<ulong> Ghosts { get; init; } = [];

    public int Duplicates { get; init; }

    /// <summary>Of them those whose earlier run was under way when its process was killed or stopped.</summary>
    public int DuplicatesUnderWay { get; init; }

    /// <summary>Of them those whose earlier run had ended, but whose acknowledgement was not sent yet.</summary>
    public int DuplicatesInWindow { get; init; }

    public int DuplicatesUnexplained { get; init; }

    /// <summary>The longest time between the end of a run and the kill that made it run again.</summary>
    public TimeSpan Window { get; init; }

    /// <summary>The longest time from a kill to the second start of one of its jobs.</summary>
    public TimeSpan LongestRestart { get; init; }

    public IReadOnlyList<string> Examples { get; init; } = [];

    /// <summary>When runs succeeded, in order.</summary>
    public IReadOnlyList<long> Ends { get; init; } = [];

    /// <summary>Successful runs per second between two moments.</summary>
    public double Rate(long from, long to) => to <= from ? 0 : CountBetween(from, to) / Moments.Seconds(to - from);

    /// <summary>How long after <paramref name="from"/> the throughput of the second that followed was at 90 % of <paramref name="before"/>; null: never.</summary>
    public TimeSpan? Recovery(long from, double before)
    {
        long second = Moments.Ticks(TimeSpan.FromSeconds(1)), step = Moments.Ticks(TimeSpan.FromMilliseconds(50));
        for (long at = from; Ends.Count > 0 && at <= Ends[^1]; at += step)
        {
            if (CountBetween(at, at + second) >= 0.9 * before)
            {
                return TimeSpan.FromSeconds(Moments.Seconds(at - from));
            }
        }

        return null;
    }

    /// <summary>From a moment to the next successful end of a run; zero when there was none.</summary>
    public TimeSpan NextEnd(long from) => FirstAt(from) is var next && next < Ends.Count ? TimeSpan.FromSeconds(Moments.Seconds(Ends[next] - from)) : TimeSpan.Zero;

    private int CountBetween(long from, long to) => FirstAt(to) - FirstAt(from);

    private int FirstAt(long moment)
    {
        int low = 0, high = Ends.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = Ends[middle] < moment ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
