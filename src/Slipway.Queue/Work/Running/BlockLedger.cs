using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

/// <summary>
/// The blocks this worker holds, and what the broker has to be told of them: acks of done jobs in running blocks, settlements of
/// those that end otherwise, and blocks to be closed with the next fetch.
/// </summary>
/// <remarks>
/// <code>
///   Done ──► bit ──(AckWindow)──► AckAsync          all blocks in one call
///   End  ──► ends ──────────────► SettleAsync       merged per block while one is on its way
///   last job of a block ────────► TakeFinished      closed by the next fetch, unless the broker knows already
/// </code>
/// </remarks>
internal sealed partial class BlockLedger(IQueueBroker broker, TimeSpan ackWindow, AsyncSignal fetch, QueueMetrics metrics, TimeProvider time, ILogger logger)
{
    private readonly ConcurrentDictionary<string, BlockRun> blocks = new(StringComparer.Ordinal);
    private readonly Lock finishedGate = new();
    private readonly AsyncSignal acks = new();
    private List<BlockRun> finished = [];
    private TaskCompletionSource? drained;

    /// <summary>Called for a block whose jobs others have now: its handlers have to stop.</summary>
    public Action<BlockRun> Lost { get; set; } = _ => { };

    /// <summary>The broker may be unreachable; until this is cancelled, ends are tried again.</summary>
    public required CancellationToken Stopped { get; init; }

    public IReadOnlyList<string> Known => [.. blocks.Keys];

    public IReadOnlyList<string> Unfinished => [.. blocks.Values.Where(block => block.Remaining > 0 || block.Sending).Select(block => block.Id)];

    public bool IsEmpty => blocks.IsEmpty;

    /// <summary>Finished blocks wait to be closed, the first since this long ago.</summary>
    public bool HasFinished(out TimeSpan since)
    {
        lock (finishedGate)
        {
            since = finished.Count == 0 ? TimeSpan.Zero : time.GetElapsedTime(finished[0].FinishedAt);
            return finished.Count > 0;
        }
    }

    /// <summary>Completes when the broker knows of every end; for the stop, when no new blocks come.</summary>
    public Task DrainedAsync()
    {
        var emptied = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref drained, emptied);
        if (blocks.IsEmpty)
        {
            emptied.TrySetResult();
        }

        return emptied.Task;
    }

    public void Add(BlockRun block) => blocks[block.Id] = block;

    /// <summary>A job completed, and a bit says all about it.</summary>
    public void Done(BlockRun block, int index)
    {
        if (block.CountDown())
        {
            Finish(block);
        }
        else if (!Volatile.Read(ref block.Dirty))
        {
            block.MarkDone(index);
            acks.Raise();
        }
        else
        {
            block.MarkDone(index);
        }
    }

    /// <summary>A job ended in a way that wants words.</summary>
    public void End(BlockRun block, JobEnd end)
    {
        bool send;
        lock (block)
        {
            block.Ends.Add(end);
            send = !block.Sending;
            block.Sending = true;
        }

        if (block.CountDown())
        {
            Finish(block);
        }

        if (send)
        {
            _ = SettleAsync(block);
        }
    }

    public List<BlockRun> TakeFinished()
    {
        lock (finishedGate)
        {
            List<BlockRun> taken = finished;
            finished = [];
            return taken;
        }
    }

    /// <summary>Their closing got no answer.</summary>
    public void PutBack(List<BlockRun> unclosed)
    {
        lock (finishedGate)
        {
            foreach (BlockRun block in unclosed)
            {
                block.ClosingInDoubt = true;
            }

            finished.InsertRange(0, unclosed);
        }
    }

    public void Closed(List<BlockRun> closed, IReadOnlyList<string> late)
    {
        foreach (BlockRun block in closed)
        {
            Forget(block);
            if (late.Count > 0 && late.Contains(block.Id) && !block.ClosingInDoubt)
            {
                metrics.LateAcks(block.Block.Jobs.Count);
                Log.Late(logger, broker.Queue, block.Id, block.Block.Jobs.Count);
            }
        }
    }

    /// <summary>The broker says that others have its jobs.</summary>
    public void Lose(string id)
    {
        if (blocks.TryGetValue(id, out BlockRun? block))
        {
            Lose(block);
        }
    }

    /// <summary>Tells the broker what is done in blocks that still run. The worker's loop; ends with <paramref name="stopping"/>.</summary>
    public async Task AckAsync(CancellationToken stopping)
    {
        await using CancellationTokenRegistration wake = stopping.UnsafeRegister(static signal => ((AsyncSignal)signal!).Raise(), acks);
        while (!stopping.IsCancellationRequested)
        {
            await acks.WaitAsync().ConfigureAwait(false);
            await Task.Delay(ackWindow, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await FlushAsync(stopping).ConfigureAwait(false);
            if (HasFinished(out TimeSpan since) && since >= ackWindow)
            {
                fetch.Raise();
            }
        }
    }

    private async Task FlushAsync(CancellationToken stopping)
    {
        var flushed = new List<(BlockRun Block, int Bits)>();
        var acked = new List<BlockAck>();
        foreach (BlockRun block in blocks.Values)
        {
            lock (block)
            {
                if (!Volatile.Read(ref block.Dirty) || block.Sending || block.Lost || block.Remaining == 0)
                {
                    continue;
                }

                // First the flag, then the bits: a bit that comes in between is sent twice rather than not at all.
                Volatile.Write(ref block.Dirty, false);
                (byte[] bits, int count) = block.Bits();
                block.Sending = true;
                flushed.Add((block, count));
                acked.Add(new BlockAck(block.Id, bits));
            }
        }

        if (acked.Count == 0)
        {
            return;
        }

        IReadOnlyList<bool>? mine = null;
        try
        {
            mine = await broker.AckAsync(acked, stopping).ConfigureAwait(false);
        }
        catch (Exception e) when (!stopping.IsCancellationRequested)
        {
            // The bits stay; the next done job, or the end of the block, tells them again.
            Log.AckFailed(logger, broker.Queue, e.Message);
        }
        catch (OperationCanceledException)
        {
        }

        for (int i = 0; i < flushed.Count; i++)
        {
            (BlockRun block, int bits) = flushed[i];
            bool more;
            lock (block)
            {
                block.Sending = false;
                if (mine is not null && mine[i])
                {
                    block.Confirmed += bits - block.ConfirmedBits;
                    block.ConfirmedBits = bits;
                }

                more = block.Ends.Count > 0;
                block.Sending = more;
            }

            if (mine is not null && !mine[i])
            {
                Lose(block);
            }
            else if (more)
            {
                _ = SettleAsync(block);
            }
            else if (block.Remaining == 0)
            {
                Finish(block);
            }
            else if (mine is null)
            {
                Volatile.Write(ref block.Dirty, true);
                acks.Raise();
            }
        }
    }

    /// <summary>Sends the block's ends until there are none. There is one of this per block at most.</summary>
    private async Task SettleAsync(BlockRun block)
    {
        try
        {
            while (true)
            {
                List<JobEnd> ends;
                lock (block)
                {
                    if (block.Ends.Count == 0 || block.Lost)
                    {
                        block.Sending = false;
                        break;
                    }

                    ends = block.TakeEnds();
                }

                if (!await SendAsync(block, ends).ConfigureAwait(false))
                {
                    Lose(block);
                    return;
                }

                lock (block)
                {
                    block.Confirmed += ends.Count;
                }
            }

            if (block.Remaining == 0)
            {
                Finish(block);
            }
        }
        catch (OperationCanceledException) when (Stopped.IsCancellationRequested)
        {
            // The lease will tell the others.
        }
    }

    private async Task<bool> SendAsync(BlockRun block, List<JobEnd> ends)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                return await broker.SettleAsync(block.Id, ends, Stopped).ConfigureAwait(false);
            }
            catch (Exception e) when (!Stopped.IsCancellationRequested)
            {
                Log.SettleFailed(logger, broker.Queue, block.Id, e.Message);
                await Backoff.AfterAsync(attempt, time, Stopped).ConfigureAwait(false);
            }
        }
    }

    /// <summary>All jobs of the block have ended: when the broker does not know yet, the next fetch tells.</summary>
    private void Finish(BlockRun block)
    {
        lock (block)
        {
            if (block.Finished || block.Lost || block.Sending || block.Ends.Count > 0)
            {
                return;
            }

            block.Finished = true;
        }

        if (block.Confirmed == block.Block.Jobs.Count)
        {
            // Its last settlement closed it.
            Forget(block);
            fetch.Raise();
            return;
        }

        block.FinishedAt = time.GetTimestamp();
        lock (finishedGate)
        {
            finished.Add(block);
        }

        fetch.Raise();
        acks.Raise();
    }

    private void Forget(BlockRun block)
    {
        blocks.TryRemove(block.Id, out _);
        if (Volatile.Read(ref drained) is { } waiting && blocks.IsEmpty)
        {
            waiting.TrySetResult();
        }
    }

    private void Lose(BlockRun block)
    {
        lock (block)
        {
            if (block.Finished || block.Lost)
            {
                return;
            }

            Volatile.Write(ref block.Lost, true);
            block.TakeEnds();
        }

        Forget(block);
        metrics.LeaseLost(block.Block.Jobs.Count);
        Log.LeaseLost(logger, broker.Queue, block.Id, block.Remaining);
        Lost(block);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "queue {Queue}: the lease of {Block} is lost with {Jobs} unfinished jobs; others have or will have them")]
        public static partial void LeaseLost(ILogger logger, string queue, string block, int jobs);

        [LoggerMessage(2, LogLevel.Warning, "queue {Queue}: {Block} was finished too late, its {Jobs} jobs may run twice")]
        public static partial void Late(ILogger logger, string queue, string block, int jobs);

        [LoggerMessage(3, LogLevel.Warning, "queue {Queue}: cannot acknowledge, will try again: {Error}")]
        public static partial void AckFailed(ILogger logger, string queue, string error);

        [LoggerMessage(4, LogLevel.Warning, "queue {Queue}: cannot settle jobs of {Block}, will try again: {Error}")]
        public static partial void SettleFailed(ILogger logger, string queue, string block, string error);
    }
}
