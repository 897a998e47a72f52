using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Slipway.Queue.V1;

/// <summary>Meter and activity source "Slipway.Queue". Every instrument carries the tag "queue".</summary>
internal static class QueueTelemetry
{
    public const string Name = "Slipway.Queue";

    public static readonly ActivitySource Source = new(Name);

    private static readonly Meter Meter = new(Name);

    public static readonly Counter<long> Enqueued =
        Meter.CreateCounter<long>("slipway.queue.enqueued", "{job}", "Enqueues by outcome: added, alreadywaiting, alreadydone, alreadydead, full.");

    public static readonly Counter<long> Leased = Meter.CreateCounter<long>("slipway.queue.leased", "{job}", "Leases handed out.");

    public static readonly Counter<long> Ended =
        Meter.CreateCounter<long>("slipway.queue.ended", "{job}", "Leases ended by outcome: completed, retried, dead, released, lost.");

    public static readonly Counter<long> Reaped =
        Meter.CreateCounter<long>("slipway.queue.reaped", "{job}", "Leases whose worker was not heard of again, by outcome: putback, dead.");

    public static readonly Histogram<double> Wait =
        Meter.CreateHistogram<double>("slipway.queue.wait", "s", "From enqueue to each lease, by the clock of Redis.");

    public static readonly Histogram<double> Run = Meter.CreateHistogram<double>("slipway.queue.run", "s", "Time in the handler.");

    public static readonly UpDownCounter<long> Running = Meter.CreateUpDownCounter<long>("slipway.queue.running", "{job}", "Handlers at work.");

    public static KeyValuePair<string, object?> Queue(string name) => new("queue", name);

    public static KeyValuePair<string, object?> Outcome(string outcome) => new("outcome", outcome);
}
