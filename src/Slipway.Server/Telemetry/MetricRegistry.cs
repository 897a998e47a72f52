using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Slipway.Server.Telemetry;

/// <summary>
/// Listens to the meters of this process and keeps their numbers for <c>/metrics</c>.
/// </summary>
/// <remarks>
/// <code>
/// Meter (features, Kestrel, runtime) ─ MeterListener ─ Metric ─ MetricSeries ─ PrometheusText ─ /metrics
/// </code>
/// </remarks>
internal sealed class MetricRegistry : IDisposable
{
    // Named one by one: a library that starts to measure something new must not grow our exposition by itself.
    private static readonly string[] Meters =
    [
        "Slipway.", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime", "Npgsql",
    ];

    private readonly MeterListener listener = new();
    private readonly ConcurrentDictionary<Instrument, Metric> metrics = [];
    private readonly Lock scrape = new();
    private readonly Func<Meter, bool> isWanted;

    public MetricRegistry()
        : this(meter => Meters.Any(name => name.EndsWith('.') ? meter.Name.StartsWith(name, StringComparison.Ordinal) : meter.Name == name))
    {
    }

    public MetricRegistry(Func<Meter, bool> isWanted)
    {
        this.isWanted = isWanted;
        listener.InstrumentPublished = (instrument, listening) =>
        {
            if (this.isWanted(instrument.Meter))
            {
                listening.EnableMeasurementEvents(instrument, metrics.GetOrAdd(instrument, one => new Metric(one)));
            }
        };
        listener.MeasurementsCompleted = (instrument, _) => metrics.TryRemove(instrument, out Metric? _);
        // Null: the instrument was disposed of while it was asked.
        listener.SetMeasurementEventCallback<double>(static (_, value, tags, metric) => ((Metric?)metric)?.Record(value, tags));
        listener.SetMeasurementEventCallback<float>(static (_, value, tags, metric) => ((Metric?)metric)?.Record(value, tags));
        listener.SetMeasurementEventCallback<long>(static (_, value, tags, metric) => ((Metric?)metric)?.Record(value, tags));
        listener.SetMeasurementEventCallback<int>(static (_, value, tags, metric) => ((Metric?)metric)?.Record(value, tags));
        listener.SetMeasurementEventCallback<short>(static (_, value, tags, metric) => ((Metric?)metric)?.Record(value, tags));
        listener.SetMeasurementEventCallback<byte>(static (_, value, tags, metric) => ((Metric?)metric)?.Record(value, tags));
        listener.SetMeasurementEventCallback<decimal>(static (_, value, tags, metric) => ((Metric?)metric)?.Record((double)value, tags));
        listener.Start();
    }

    /// <summary>Asks observable instruments for their values and writes everything.</summary>
    public void Write(TextWriter writer)
    {
        // Two scrapes at one time would only ask every observable twice.
        lock (scrape)
        {
            listener.RecordObservableInstruments();
            PrometheusText.Write(writer, metrics.Values);
        }
    }

    public void Dispose() => listener.Dispose();
}
