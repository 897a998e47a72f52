using Slipway.Api;

namespace Slipway.Cli.Jobs.Working;

/// <summary>A block that this worker holds: when its lease ends, and what has become of its jobs.</summary>
internal sealed class HeldBlock : IDisposable
{
    private readonly CancellationTokenSource lost;
    private readonly List<(int Index, JobOutcome Outcome)> toTell = [];
    private int untold;

    /// <param name="left">Until the lease ends, counted from before it was asked for: never later than the server thinks.</param>
    public HeldBlock(LeasedBlock leased, TimeSpan left, TimeProvider time)
    {
        Leased = leased;
        untold = leased.Jobs.Count;
        lost = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, time);
    }

    public LeasedBlock Leased { get; }

    /// <summary>Cancelled when the lease is lost, or when it ended and could not be extended: then others may have the jobs.</summary>
    public CancellationToken Lost => lost.Token;

    public bool HasTracked => Leased.Jobs.Any(job => job.Tracked);

    public void Extended(TimeSpan left)
    {
        if (left > TimeSpan.Zero && !lost.IsCancellationRequested)
        {
            lost.CancelAfter(left);
        }
    }

    public void Lose() => lost.Cancel();

    public void Ended(int index, JobOutcome outcome)
    {
        lock (toTell)
        {
            toTell.Add((index, outcome));
        }
    }

    /// <summary>What the server is to be told now; null: nothing.</summary>
    public AckedBlock? Take()
    {
        (int Index, JobOutcome Outcome)[] ends;
        lock (toTell)
        {
            if (toTell.Count == 0)
            {
                return null;
            }

            ends = [.. toTell];
            toTell.Clear();
        }

        untold -= ends.Length;
        List<int> done = [];
        List<EndedJob> ended = [];
        foreach (var (index, outcome) in ends)
        {
            var end = outcome.ToEnd(index, Leased.Jobs[index].Tracked);
            if (end is { Kind: "completed", Result: null, ResultBytes: null })
            {
                done.Add(index);
            }
            else
            {
                ended.Add(end);
            }
        }

        return new AckedBlock(Leased.Id, done.Count > 0 ? done : null, ended.Count > 0 ? ended : null);
    }

    /// <summary>Nothing is left to tell after what was taken.</summary>
    public bool IsTold => untold == 0;

    public void Dispose() => lost.Dispose();
}
