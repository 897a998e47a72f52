using System.Globalization;
using System.Text;

namespace Slipway.Server.Telemetry;

/// <summary>
/// The Prometheus text exposition format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/), with names made from
/// OpenTelemetry's as its Prometheus compatibility page says: dots to underscores, unit and <c>_total</c> at the end.
/// </summary>
internal static class PrometheusText
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    // A label value is chosen by our code; the limit is for one that slipped through from a request.
    private const int MaxLabelLength = 128;

    public static void Write(TextWriter writer, IEnumerable<Metric> metrics)
    {
        long dropped = 0;
        // Two meters may have an instrument of the same name (one per connection pool): one head, all series below it.
        foreach (var group in metrics.GroupBy(metric => metric.Name).OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            var first = group.First();
            dropped += group.Sum(metric => metric.Dropped);
            if (!group.Any(metric => metric.Series.Any()))
            {
                continue;
            }

            if (first.Help.Length > 0)
            {
                writer.Write($"# HELP {group.Key} {first.Help.Replace("\\", @"\\", StringComparison.Ordinal).Replace("\n", @"\n", StringComparison.Ordinal)}\n");
            }

            writer.Write($"# TYPE {group.Key} {TypeOf(first.Kind)}\n");
            foreach (var series in group.SelectMany(metric => metric.Series).DistinctBy(series => series.Labels))
            {
                WriteSeries(writer, group.Key, first.Kind, series);
            }
        }

        writer.Write("# HELP slipway_metrics_dropped_total Measurements not kept because their instrument has too many label combinations.\n");
        writer.Write($"# TYPE slipway_metrics_dropped_total counter\nslipway_metrics_dropped_total {Number(dropped)}\n");
    }

    public static string NameOf(string name, string unit, MetricKind kind)
    {
        var text = new StringBuilder(name.Length + 16);
        foreach (var character in name)
        {
            text.Append(char.IsAsciiLetterOrDigit(character) ? character : '_');
        }

        var suffix = unit switch
        {
            "s" => "seconds",
            "ms" => "milliseconds",
            "By" => "bytes",
            "1" when kind == MetricKind.Gauge => "ratio",
            _ => "",
        };
        var made = text.ToString();
        if (suffix.Length > 0 && !made.EndsWith("_" + suffix, StringComparison.Ordinal))
        {
            made += "_" + suffix;
        }

        return kind is MetricKind.Counter or MetricKind.ObservedCounter && !made.EndsWith("_total", StringComparison.Ordinal) ? made + "_total" : made;
    }

    public static string LabelsOf(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var text = new StringBuilder();
        foreach (var tag in tags)
        {
            if (tag.Value is null)
            {
                continue;
            }

            if (text.Length > 0)
            {
                text.Append(',');
            }

            foreach (var character in tag.Key)
            {
                text.Append(char.IsAsciiLetterOrDigit(character) ? character : '_');
            }

            text.Append("=\"");
            var value = Convert.ToString(tag.Value, CultureInfo.InvariantCulture) ?? "";
            foreach (var character in value.Length > MaxLabelLength ? value[..MaxLabelLength] : value)
            {
                _ = character switch
                {
                    '\\' => text.Append(@"\\"),
                    '"' => text.Append("\\\""),
                    '\n' => text.Append(@"\n"),
                    _ => text.Append(character),
                };
            }

            text.Append('"');
        }

        return text.ToString();
    }

    private static void WriteSeries(TextWriter writer, string name, MetricKind kind, MetricSeries series)
    {
        if (kind != MetricKind.Histogram)
        {
            writer.Write($"{name}{Braces(series.Labels)} {Number(series.Value)}\n");
            return;
        }

        // Buckets are cumulative; the sum of what was read is printed as the count, so that both agree under concurrent writes.
        long cumulative = 0;
        var separator = series.Labels.Length > 0 ? "," : "";
        for (var i = 0; i < series.Bounds.Length; i++)
        {
            cumulative += series.BucketCount(i);
            writer.Write($"{name}_bucket{{{series.Labels}{separator}le=\"{Number(series.Bounds[i])}\"}} {Number(cumulative)}\n");
        }

        cumulative += series.BucketCount(series.Bounds.Length);
        writer.Write($"{name}_bucket{{{series.Labels}{separator}le=\"+Inf\"}} {Number(cumulative)}\n");
        writer.Write($"{name}_sum{Braces(series.Labels)} {Number(series.Value)}\n");
        writer.Write($"{name}_count{Braces(series.Labels)} {Number(cumulative)}\n");
    }

    private static string Braces(string labels) => labels.Length == 0 ? "" : $"{{{labels}}}";

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf" : double.IsNegativeInfinity(value) ? "-Inf" : value.ToString("R", CultureInfo.InvariantCulture);

    private static string TypeOf(MetricKind kind) => kind switch
    {
        MetricKind.Counter or MetricKind.ObservedCounter => "counter",
        MetricKind.Histogram => "histogram",
        _ => "gauge",
    };
}
