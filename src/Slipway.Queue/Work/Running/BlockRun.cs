using System.Numerics;
using System.Runtime.InteropServices;

namespace Slipway.Queue.Work;

/// <summary>A leased block at work: what is done, and what the broker knows of it.</summary>
internal sealed class BlockRun
{
    private readonly ulong[] done;
    private int remaining;

    public BlockRun(JobBlock block, Handler?[] handlers, long arrivedAt)
    {
        Block = block;
        Handlers = handlers;
        ArrivedAt = arrivedAt;
        remaining = block.Jobs.Count;
        done = new ulong[(block.Jobs.Count + 63) / 64];
    }

    public JobBlock Block { get; }

    public string Id => Block.Id;

    /// <summary>By job; null: ended on arrival, because nobody handles it or it cannot be read.</summary>
    public Handler?[] Handlers { get; }

    /// <summary>By the process's clock, when <see cref="JobBlock.LeasedAt"/> was by the server's.</summary>
    public long ArrivedAt { get; }

    /// <summary>The next job to hand out; guarded by the gate of <see cref="ReadyJobs"/>.</summary>
    public int Next { get; set; }

    /// <summary>Some job is done that the broker was not told of.</summary>
    public bool Dirty;

    /// <summary>Others have or will have its jobs: nothing of it counts any more.</summary>
    public bool Lost;

    // The rest is guarded by the monitor of this object.

    public List<JobEnd> Ends { get; private set; } = [];

    /// <summary>An ack or a settlement of this block is on its way; there is never a second, so that what is confirmed is known exactly.</summary>
    public bool Sending { get; set; }

    /// <summary>Jobs of which the broker said that it has their end. All of them: the block is closed.</summary>
    public int Confirmed { get; set; }

    public int ConfirmedBits { get; set; }

    /// <summary>Every job has ended, and the last step was handed on.</summary>
    public bool Finished { get; set; }

    /// <summary>When it was, by the process's clock.</summary>
    public long FinishedAt { get; set; }

    /// <summary>It was in a fetch that got no answer: it may be closed.</summary>
    public bool ClosingInDoubt { get; set; }

    public int Remaining => Volatile.Read(ref remaining);

    /// <summary>One job fewer to wait for. True: it was the last.</summary>
    public bool CountDown() => Interlocked.Decrement(ref remaining) == 0;

    /// <summary>After <see cref="CountDown"/>: so the last job's bit is never set, and acks alone never complete a block.</summary>
    public void MarkDone(int index)
    {
        Interlocked.Or(ref done[index >> 6], 1UL << (index & 63));
        Volatile.Write(ref Dirty, true);
    }

    public List<JobEnd> TakeEnds()
    {
        List<JobEnd> taken = Ends;
        Ends = [];
        return taken;
    }

    /// <summary>The bits as they are now.</summary>
    public (byte[] Bits, int Count) Bits()
    {
        var copy = new ulong[done.Length];
        int count = 0;
        for (int i = 0; i < copy.Length; i++)
        {
            copy[i] = Volatile.Read(ref done[i]);
            count += BitOperations.PopCount(copy[i]);
        }

        return (MemoryMarshal.AsBytes(copy.AsSpan())[..((Block.Jobs.Count + 7) / 8)].ToArray(), count);
    }
}
