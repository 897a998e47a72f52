using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Slipway.Queue.Work;

/// <summary>
/// Meter and activity source "Slipway.Queue". Every instrument carries the tag <c>queue</c>, those of jobs also <c>type</c> (see
/// <see cref="TypeLabels"/>).
/// </summary>
internal sealed class QueueMetrics : IDisposable
{
    public const string Name = "Slipway.Queue";

    public static readonly ActivitySource Source = new(Name);

    private readonly Meter meter = new(Name);
    private readonly KeyValuePair<string, object?> queue;
    private readonly TypeLabels labels;
    private readonly Counter<long> produced;
    private readonly Counter<long> shed;
    private readonly Counter<long> consumed;
    private readonly Counter<long> completed;
    private readonly Counter<long> failed;
    private readonly Counter<long> retried;
    private readonly Counter<long> dead;
    private readonly Counter<long> leaseLost;
    private readonly Counter<long> lateAcks;
    private readonly Counter<long> reaped;
    private readonly Counter<long> cronFired;
    private readonly Histogram<double> processing;
    private readonly Histogram<double> wait;

    public QueueMetrics(string queue, IEnumerable<string> types)
    {
        this.queue = new("queue", queue);
        labels = new TypeLabels(types);
        produced = meter.CreateCounter<long>("slipway.queue.produced", "{job}", "Enqueued by this process.");
        shed = meter.CreateCounter<long>("slipway.queue.shed", "{job}", "Dropped by this process, because the queue was full.");
        consumed = meter.CreateCounter<long>("slipway.queue.consumed", "{job}", "Leased by this process.");
        completed = meter.CreateCounter<long>("slipway.queue.completed", "{job}", "Runs that completed.");
        failed = meter.CreateCounter<long>("slipway.queue.failed", "{job}", "Runs that failed, whatever became of the job.");
        retried = meter.CreateCounter<long>("slipway.queue.retried", "{job}", "Failed runs that are tried again.");
        dead = meter.CreateCounter<long>("slipway.queue.dead", "{job}", "Jobs this process made dead letters of.");
        leaseLost = meter.CreateCounter<long>("slipway.queue.lease_lost", "{job}", "Jobs whose lease was lost while they waited or ran here.");
        lateAcks = meter.CreateCounter<long>("slipway.queue.late_acks", "{job}", "Jobs done here whose end was refused: another worker has or had them.");
        reaped = meter.CreateCounter<long>("slipway.queue.reaped", "{job}", "Jobs of lost workers, by outcome: putback, dead.");
        cronFired = meter.CreateCounter<long>("slipway.queue.cron_fired", "{job}", "Slots of schedules that this process fired.");
        processing = meter.CreateHistogram<double>("slipway.queue.processing", "s", "Time in the handler.");
        wait = meter.CreateHistogram<double>("slipway.queue.wait", "s", "From the enqueue to each start, by the clock of the server.");
    }

    /// <summary>Somebody listens to the times of every single job.</summary>
    public bool TimesRuns => processing.Enabled || wait.Enabled;

    /// <summary>A type that may appear by name.</summary>
    public void Know(string type) => labels.Know(type);

    public void Produced(string type, long jobs) => produced.Add(jobs, queue, labels.Of(type));

    public void Shed(string type, long jobs) => shed.Add(jobs, queue, labels.Of(type));

    public void Consumed(int jobs) => consumed.Add(jobs, queue);

    public void Completed(string type, long jobs) => completed.Add(jobs, queue, labels.Of(type));

    public void Failed(string type, long jobs) => failed.Add(jobs, queue, labels.Of(type));

    public void Retried(string type) => retried.Add(1, queue, labels.Of(type));

    public void Dead(string type, string reason) => dead.Add(1, queue, labels.Of(type), new("reason", TypeLabels.OfReason(reason)));

    public void LeaseLost(int jobs) => leaseLost.Add(jobs, queue);

    public void LateAcks(int jobs) => lateAcks.Add(jobs, queue);

    public void Reaped(BlockReap reap)
    {
        reaped.Add(reap.PutBack, queue, new("outcome", "putback"));
        reaped.Add(reap.Died, queue, new("outcome", "dead"));
    }

    public void CronFired(string schedule) => cronFired.Add(1, queue, new("schedule", schedule));

    public void Ran(string type, TimeSpan took, TimeSpan waited)
    {
        KeyValuePair<string, object?> label = labels.Of(type);
        processing.Record(took.TotalSeconds, queue, label);
        wait.Record(waited.TotalSeconds, queue, label);
    }

    /// <summary>Gauges of what <paramref name="stats"/> last found: null until it found anything.</summary>
    public void AddDepthGauges(Func<QueueStats?> stats)
    {
        meter.CreateObservableGauge(
            "slipway.queue.jobs",
            () => stats() is { } seen
                ? [Of("ready", seen.ReadyTotal), Of("delayed", seen.Delayed), Of("leased", seen.Leased), Of("waiting", seen.Waiting), Of("dead", seen.Dead)]
                : Array.Empty<Measurement<long>>(),
            "{job}",
            "Jobs in the queue by state, at most 2 s old.");
        meter.CreateObservableGauge(
            "slipway.queue.oldest_ready",
            () => stats() is { } seen ? [new Measurement<double>(seen.OldestReady.TotalSeconds, queue)] : Array.Empty<Measurement<double>>(),
            "s",
            "Age of the ready job that waits longest.");

        Measurement<long> Of(string state, long jobs) => new(jobs, queue, new KeyValuePair<string, object?>("state", state));
    }

    public void Dispose() => meter.Dispose();
}
