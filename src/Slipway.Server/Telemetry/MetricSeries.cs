using System.Diagnostics.Metrics;

namespace Slipway.Server.Telemetry;

/// <summary>The numbers of one instrument under one set of labels. Written from any thread without a lock.</summary>
internal sealed class MetricSeries(string labels, double[]? bounds)
{
    private readonly long[] buckets = bounds is null ? [] : new long[bounds.Length + 1];
    private double value;
    private long count;

    /// <summary><c>{route="/v1/orgs",status="200"}</c> without the braces, ready to print.</summary>
    public string Labels => labels;

    public ReadOnlySpan<double> Bounds => bounds;

    public double Value => Volatile.Read(ref value);

    public long Count => Interlocked.Read(ref count);

    public long BucketCount(int index) => Interlocked.Read(ref buckets[index]);

    public void Set(double measured) => Volatile.Write(ref value, measured);

    public void Add(double measured)
    {
        var seen = Volatile.Read(ref value);
        while (true)
        {
            var before = Interlocked.CompareExchange(ref value, seen + measured, seen);
            if (before.Equals(seen))
            {
                return;
            }

            seen = before;
        }
    }

    public void Observe(double measured)
    {
        var index = 0;
        while (index < bounds!.Length && measured > bounds[index])
        {
            index++;
        }

        Interlocked.Increment(ref buckets[index]);
        Interlocked.Increment(ref count);
        Add(measured);
    }
}

/// <summary>How an instrument's measurements become numbers.</summary>
internal enum MetricKind
{
    /// <summary>Measurements are added up: <c>Counter</c>.</summary>
    Counter,

    /// <summary>Measurements are the total so far: <c>ObservableCounter</c>.</summary>
    ObservedCounter,

    /// <summary>Measurements are added up and may be negative: <c>UpDownCounter</c>.</summary>
    Level,

    /// <summary>The last measurement counts: <c>Gauge</c>, <c>ObservableGauge</c>, <c>ObservableUpDownCounter</c>.</summary>
    Gauge,

    Histogram,
}

/// <summary>One instrument with its series.</summary>
internal sealed class Metric
{
    // Bounded label sets: an instrument with more than 2,000 combinations has a label it should not have (an id, a path); what
    // comes after is counted as dropped instead of filling memory. Ten routes × methods × statuses stay far below.
    private const int MaxSeries = 2_000;

    // OpenTelemetry's advice for seconds; a histogram with advice of its own brings its own.
    private static readonly double[] SecondsBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
    private static readonly double[] SizeBounds = [1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 26, 1 << 30, 1L << 34];
    private static readonly double[] CountBounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

    private readonly System.Collections.Concurrent.ConcurrentDictionary<TagSet, MetricSeries> series = new(TagSetComparer.Instance);
    private readonly System.Collections.Concurrent.ConcurrentDictionary<TagSet, MetricSeries>.AlternateLookup<ReadOnlySpan<KeyValuePair<string, object?>>> bySpan;
    private readonly double[]? bounds;
    private long dropped;
    private int count;

    public Metric(Instrument instrument)
    {
        bySpan = series.GetAlternateLookup<ReadOnlySpan<KeyValuePair<string, object?>>>();
        Kind = KindOf(instrument);
        Unit = instrument.Unit ?? "";
        Name = PrometheusText.NameOf(instrument.Name, Unit, Kind);
        Help = instrument.Description ?? "";
        bounds = Kind == MetricKind.Histogram ? Unit switch { "s" => SecondsBounds, "By" => SizeBounds, _ => CountBounds } : null;
    }

    public string Name { get; }

    public string Help { get; }

    public string Unit { get; }

    public MetricKind Kind { get; }

    public long Dropped => Interlocked.Read(ref dropped);

    public IEnumerable<MetricSeries> Series => series.Values;

    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (!bySpan.TryGetValue(tags, out var one))
        {
            if (Volatile.Read(ref count) >= MaxSeries)
            {
                Interlocked.Increment(ref dropped);
                return;
            }

            var key = new TagSet(tags.ToArray());
            var made = new MetricSeries(PrometheusText.LabelsOf(tags), bounds);
            one = series.GetOrAdd(key, made);
            if (ReferenceEquals(one, made))
            {
                Interlocked.Increment(ref count);
            }
        }

        switch (Kind)
        {
            case MetricKind.Histogram:
                one.Observe(value);
                break;
            case MetricKind.Counter or MetricKind.Level:
                one.Add(value);
                break;
            default:
                one.Set(value);
                break;
        }
    }

    private static MetricKind KindOf(Instrument instrument)
    {
        var type = instrument.GetType();
        var definition = type.IsGenericType ? type.GetGenericTypeDefinition() : type;
        return definition == typeof(Counter<>) ? MetricKind.Counter
            : definition == typeof(ObservableCounter<>) ? MetricKind.ObservedCounter
            : definition == typeof(UpDownCounter<>) ? MetricKind.Level
            : definition == typeof(Histogram<>) ? MetricKind.Histogram
            : MetricKind.Gauge;
    }
}

/// <summary>The tags of a measurement as a key. Compared in the order they were given: each call site always gives the same.</summary>
internal sealed record TagSet(KeyValuePair<string, object?>[] Tags);

/// <summary>Finds a series by the tags on the caller's stack, so that a measurement on a known series allocates nothing.</summary>
internal sealed class TagSetComparer : IEqualityComparer<TagSet>, IAlternateEqualityComparer<ReadOnlySpan<KeyValuePair<string, object?>>, TagSet>
{
    public static TagSetComparer Instance { get; } = new();

    public bool Equals(TagSet? x, TagSet? y) => x is not null && y is not null && Equals(x.Tags, y);

    public int GetHashCode(TagSet obj) => GetHashCode(obj.Tags);

    public bool Equals(ReadOnlySpan<KeyValuePair<string, object?>> alternate, TagSet other)
    {
        if (alternate.Length != other.Tags.Length)
        {
            return false;
        }

        for (var i = 0; i < alternate.Length; i++)
        {
            if (alternate[i].Key != other.Tags[i].Key || !Equals(alternate[i].Value, other.Tags[i].Value))
            {
                return false;
            }
        }

        return true;
    }

    public int GetHashCode(ReadOnlySpan<KeyValuePair<string, object?>> alternate)
    {
        var hash = new HashCode();
        foreach (var tag in alternate)
        {
            hash.Add(tag.Value);
        }

        return hash.ToHashCode();
    }

    public TagSet Create(ReadOnlySpan<KeyValuePair<string, object?>> alternate) => new(alternate.ToArray());
}
