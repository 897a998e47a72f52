using System.Collections.Concurrent;
using Slipway.Queue;

namespace Slipway.Jobs.Working;

/// <summary>
/// What workers over HTTP did, by job type, until it is reported to the queue's history. Types and times are remembered from the lease;
/// a block that another server leased is counted under no type.
/// </summary>
internal sealed class WorkTallies(TimeProvider time)
{
    /// <summary>Blocks remembered; about 200 bytes each. The oldest are forgotten: their jobs count under no type.</summary>
    private const int MostBlocks = 10_000;

    private const int MostTypes = 200;
    private const int MostErrors = 20;

    private readonly Lock gate = new();
    private readonly ConcurrentDictionary<string, Remembered> blocks = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<string> order = new();
    private Dictionary<string, Tally> tallies = new(StringComparer.Ordinal);

    public void Leased(JobBlock block)
    {
        blocks[block.Id] = new Remembered([.. block.Jobs.Select(job => (job.Type, block.LeasedAt - job.EnqueuedAt))], time.GetTimestamp());
        order.Enqueue(block.Id);
        while (order.Count > MostBlocks && order.TryDequeue(out var oldest))
        {
            blocks.TryRemove(oldest, out _);
        }
    }

    public void Ended(string block, int index, JobEndKind kind, string reason)
    {
        if (kind is JobEndKind.Released or JobEndKind.Cancelled)
        {
            return;
        }

        var known = blocks.GetValueOrDefault(block);
        var (type, waited) = known is not null && index < known.Jobs.Length ? known.Jobs[index] : ("", TimeSpan.Zero);
        lock (gate)
        {
            if (!tallies.TryGetValue(type, out var tally))
            {
                if (tallies.Count >= MostTypes)
                {
                    return;
                }

                tallies[type] = tally = new Tally();
            }

            tally.Waited += waited > TimeSpan.Zero ? waited : TimeSpan.Zero;
            // A block's jobs share its time: which of them took how long only the worker knows.
            tally.Busy += known is null ? TimeSpan.Zero : time.GetElapsedTime(known.At) / known.Jobs.Length;
            if (kind == JobEndKind.Completed)
            {
                tally.Completed++;
                return;
            }

            tally.Failed++;
            if (tally.Errors.ContainsKey(reason) || tally.Errors.Count < MostErrors)
            {
                tally.Errors[reason] = tally.Errors.GetValueOrDefault(reason) + 1;
            }
        }
    }

    public void Closed(string block) => blocks.TryRemove(block, out _);

    /// <summary>What came together since the last call; empty: nothing.</summary>
    public IReadOnlyDictionary<string, TypeCounts> Take()
    {
        lock (gate)
        {
            var taken = tallies;
            tallies = new Dictionary<string, Tally>(StringComparer.Ordinal);
            return taken.ToDictionary(pair => pair.Key, pair => new TypeCounts(pair.Value.Completed, pair.Value.Failed, pair.Value.Busy, pair.Value.Waited, pair.Value.Errors));
        }
    }

    private sealed record Remembered((string Type, TimeSpan Waited)[] Jobs, long At);

    private sealed class Tally
    {
        public long Completed { get; set; }

        public long Failed { get; set; }

        public TimeSpan Busy { get; set; }

        public TimeSpan Waited { get; set; }

        public Dictionary<string, long> Errors { get; } = new(StringComparer.Ordinal);
    }
}
