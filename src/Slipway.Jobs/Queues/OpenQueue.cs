using System.Collections.Concurrent;
using Slipway.Jobs.Watching;
using Slipway.Jobs.Working;
using Slipway.Queue;

namespace Slipway.Jobs.Queues;

/// <summary>A tenant's queue as this server works with it: one broker for all its callers.</summary>
internal sealed class OpenQueue : IAsyncDisposable
{
    /// <summary>Ids of jobs to cancel that are told to workers: for ten minutes, and no more than this.</summary>
    private const int MostCancelled = 1000;

    private static readonly TimeSpan CancelledFor = TimeSpan.FromMinutes(10);

    private readonly TimeProvider time;
    private readonly ConcurrentQueue<(Guid Id, long At)> cancelled = new();
    private long usedAt;

    public OpenQueue(Guid id, Guid orgId, string org, string name, RedisBroker broker, TimeProvider time)
    {
        this.time = time;
        Id = id;
        OrgId = orgId;
        Org = org;
        Name = name;
        Broker = broker;
        Line = new LeaseLine(broker, time);
        Tallies = new WorkTallies(time);
        Wakes = new QueueWakes(broker, time);
        Watch = new QueueWatch(this, time);
        usedAt = time.GetTimestamp();
        broker.CancelRequested += Cancel;
    }

    public Guid Id { get; }

    public Guid OrgId { get; }

    public string Org { get; }

    public string Name { get; }

    public RedisBroker Broker { get; }

    public LeaseLine Line { get; }

    public WorkTallies Tallies { get; }

    public QueueWakes Wakes { get; }

    public SeenWorkers Workers { get; } = new();

    public QueueWatch Watch { get; }

    public TimeSpan IdleFor => time.GetElapsedTime(Interlocked.Read(ref usedAt));

    public void Touch() => Interlocked.Exchange(ref usedAt, time.GetTimestamp());

    /// <summary>Running jobs that somebody asked to cancel in the last ten minutes.</summary>
    public IReadOnlyList<Guid> Cancelled
    {
        get
        {
            Forget();
            return cancelled.IsEmpty ? [] : [.. cancelled.Select(one => one.Id)];
        }
    }

    public async ValueTask DisposeAsync()
    {
        Broker.CancelRequested -= Cancel;
        await Watch.DisposeAsync();
        await Broker.DisposeAsync();
    }

    private void Cancel(Guid id)
    {
        cancelled.Enqueue((id, time.GetTimestamp()));
        Forget();
    }

    private void Forget()
    {
        while (cancelled.TryPeek(out var oldest) && (cancelled.Count > MostCancelled || time.GetElapsedTime(oldest.At) > CancelledFor))
        {
            cancelled.TryDequeue(out _);
        }
    }
}
