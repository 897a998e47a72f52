using Slipway.Jobs.Queues;
using Slipway.Queue;

namespace Slipway.Jobs.Watching;

/// <summary>A queue's numbers, asked for once a second while somebody watches, however many do.</summary>
internal sealed class QueueWatch(OpenQueue queue, TimeProvider time) : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim asking = new(1);
    private (QueueStats Stats, long At)? last;

    /// <summary>The numbers, at most a second old.</summary>
    public async Task<QueueStats> RecentAsync(CancellationToken cancellationToken)
    {
        await asking.WaitAsync(cancellationToken);
        try
        {
            if (last is { } known && time.GetElapsedTime(known.At) < Interval)
            {
                return known.Stats;
            }

            var stats = await queue.Broker.StatsAsync(cancellationToken);
            last = (stats, time.GetTimestamp());
            return stats;
        }
        finally
        {
            asking.Release();
        }
    }

    /// <summary>The next numbers, a second after the last.</summary>
    public async Task<QueueStats> NextAsync(CancellationToken cancellationToken)
    {
        if (last is { } known && Interval - time.GetElapsedTime(known.At) is { } rest && rest > TimeSpan.Zero)
        {
            await Task.Delay(rest, time, cancellationToken);
        }

        queue.Touch();
        return await RecentAsync(cancellationToken);
    }

    public ValueTask DisposeAsync()
    {
        asking.Dispose();
        return ValueTask.CompletedTask;
    }
}
