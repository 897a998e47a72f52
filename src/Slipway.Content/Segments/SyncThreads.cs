using System.Collections.Concurrent;

namespace Slipway.Content;

/// <summary>
/// Threads for what blocks on the disk: a pool thread stuck in fsync is one that serves no requests. Started when needed, kept until the
/// store is closed.
/// </summary>
internal sealed class SyncThreads : IDisposable
{
    // Measured on a virtual disk with ext4: 4 syncs at a time reach its limit, more gain nothing; 8 leaves room for a few slow ones (a large
    // archive) beside many quick ones.
    private const int Most = 8;

    private readonly BlockingCollection<Action> work = [];
    private readonly Lock startLock = new();
    private int started;
    private int idle;

    public void Run(Action action)
    {
        work.Add(action);
        lock (startLock)
        {
            if (started < Most && Volatile.Read(ref idle) < work.Count)
            {
                started++;
                new Thread(Loop) { IsBackground = true, Name = "content sync" }.Start();
            }
        }
    }

    /// <summary>What was given to <see cref="Run"/> is still done.</summary>
    public void Dispose() => work.CompleteAdding();

    private void Loop()
    {
        while (true)
        {
            Interlocked.Increment(ref idle);
            var got = work.TryTake(out var action, Timeout.Infinite);
            Interlocked.Decrement(ref idle);
            if (!got)
            {
                return;
            }

            action!();
        }
    }
}
