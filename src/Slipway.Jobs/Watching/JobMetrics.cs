using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Slipway.Jobs.Queues;
using Slipway.Queue;

namespace Slipway.Jobs.Watching;

/// <summary>
/// The queues this server has open, for <c>/metrics</c>. Tenants can make any number of queues, so only those of an allow-list have a
/// label of their own; the others share sixteen.
/// </summary>
/// <remarks>Counters tell what happened in the queue while this server looked, whoever did it: over several servers take the largest, not the sum.</remarks>
internal sealed class JobMetrics
{
    /// <summary>Counters by the totals of a queue that they follow.</summary>
    private static readonly (string Total, string Name, string Description)[] Followed =
    [
        ("enqueued", "slipway_jobs_produced", "Jobs enqueued."),
        ("completed", "slipway_jobs_completed", "Jobs completed."),
        ("retried", "slipway_jobs_retried", "Failed runs that are tried again."),
        ("died", "slipway_jobs_dead_lettered", "Jobs that became dead letters."),
        ("cancelled", "slipway_jobs_cancelled", "Jobs cancelled."),
        ("lost", "slipway_jobs_lease_expired", "Jobs whose lease expired: their worker was not heard of any more."),
        ("late", "slipway_jobs_late_acks", "Ends of jobs refused because the lease was lost."),
        ("dropped", "slipway_jobs_dead_dropped", "Dead letters dropped because there were too many."),
    ];

    private readonly HashSet<string> named;
    private readonly Dictionary<string, Counter<long>> counters;
    private readonly Counter<long> consumed;
    private readonly Counter<long> failed;
    private readonly Histogram<double> waited;
    private readonly ConcurrentDictionary<Guid, (string Label, QueueStats Stats)> seen = new();

    public JobMetrics(IMeterFactory meters, JobsOptions options)
    {
        named = new HashSet<string>(options.MetricQueues, StringComparer.Ordinal);
        var meter = meters.Create("Slipway.Jobs");
        counters = Followed.ToDictionary(one => one.Total, one => meter.CreateCounter<long>(one.Name, description: one.Description), StringComparer.Ordinal);
        consumed = meter.CreateCounter<long>("slipway_jobs_consumed", description: "Jobs leased over HTTP through this server.");
        failed = meter.CreateCounter<long>("slipway_jobs_failed", description: "Failed runs, retried or not.");
        waited = meter.CreateHistogram<double>("slipway_jobs_wait", "s", "Time between enqueue and lease of jobs leased over HTTP through this server.");
        Gauge("slipway_jobs_ready", "Jobs that wait to be leased.", stats => stats.ReadyTotal);
        Gauge("slipway_jobs_delayed", "Jobs that wait for their time.", stats => stats.Delayed);
        Gauge("slipway_jobs_leased", "Jobs at work.", stats => stats.Leased);
        Gauge("slipway_jobs_dead", "Dead letters.", stats => stats.Dead);
        Gauge("slipway_jobs_entry", "Bytes of ready, delayed and leased entries.", stats => stats.Bytes, "By");
        meter.CreateObservableGauge("slipway_jobs_oldest_ready", () => Observed(stats => stats.OldestReady.TotalSeconds, Math.Max), "s", "Age of the job that waits longest.");

        void Gauge(string name, string description, Func<QueueStats, double> of, string? unit = null) =>
            meter.CreateObservableGauge(name, () => Observed(of, static (one, other) => one + other), unit, description);
    }

    /// <summary>Numbers of a queue, each two seconds.</summary>
    public void Saw(OpenQueue queue, QueueStats stats)
    {
        var label = LabelOf(queue);
        var before = seen.TryGetValue(queue.Id, out var known) ? known.Stats : null;
        seen[queue.Id] = (label, stats);
        if (before is null)
        {
            // What happened before this server looked is not its to tell; the series is there from now on all the same.
            foreach (var counter in counters.Values.Append(failed))
            {
                counter.Add(0, Tag(label));
            }

            return;
        }

        foreach (var (total, counter) in counters)
        {
            // Less than before: the queue was made anew, or Redis restored from an older state.
            counter.Add(Risen(total), Tag(label));
        }

        failed.Add(Risen("retried") + Risen("died"), Tag(label));

        long Risen(string total) => Math.Max(0, stats.Totals.GetValueOrDefault(total) - before.Totals.GetValueOrDefault(total));
    }

    public void Leased(OpenQueue queue, IReadOnlyList<JobBlock> blocks)
    {
        var tag = Tag(LabelOf(queue));
        foreach (var block in blocks)
        {
            consumed.Add(block.Jobs.Count, tag);
            foreach (var job in block.Jobs)
            {
                waited.Record(Math.Max(0, (block.LeasedAt - job.EnqueuedAt).TotalSeconds), tag);
            }
        }
    }

    /// <summary>Keeps only what is open still.</summary>
    public void Keep(IReadOnlySet<Guid> open)
    {
        foreach (var id in seen.Keys.Where(id => !open.Contains(id)))
        {
            seen.TryRemove(id, out _);
        }
    }

    internal string LabelOf(OpenQueue queue)
    {
        var name = $"{queue.Org}/{queue.Name}";
        return named.Contains(name)
            ? name
            : string.Create(CultureInfo.InvariantCulture, $"bucket-{Fnv(name) % JobsOptions.MetricBuckets:00}");
    }

    private IEnumerable<Measurement<double>> Observed(Func<QueueStats, double> of, Func<double, double, double> together) =>
        seen.Values.GroupBy(one => one.Label, StringComparer.Ordinal)
            .Select(group => new Measurement<double>(group.Select(one => of(one.Stats)).Aggregate(together), Tag(group.Key)));

    private static KeyValuePair<string, object?> Tag(string label) => new("queue", label);

    // FNV-1a: the same on every server and after every restart, which string.GetHashCode is not.
    private static uint Fnv(string text)
    {
        var hash = 2166136261u;
        foreach (var one in Encoding.UTF8.GetBytes(text))
        {
            hash = (hash ^ one) * 16777619u;
        }

        return hash;
    }
}
