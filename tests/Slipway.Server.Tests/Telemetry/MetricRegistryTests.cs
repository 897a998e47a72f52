using System.Diagnostics.Metrics;
using Shouldly;
using Slipway.Server.Telemetry;
using Xunit;

namespace Slipway.Server.Tests.Telemetry;

public sealed class MetricRegistryTests
{
    [Fact]
    public void Counters_levels_gauges_and_histograms_come_out_as_written()
    {
        using var meter = new Meter("test");
        using var registry = new MetricRegistry(one => one == meter);
        meter.CreateCounter<long>("a.pushes", null, "Pushes\nmade.").Add(3, new KeyValuePair<string, object?>("kind", "a\"b\\c\nd"));
        var level = meter.CreateUpDownCounter<int>("a.active");
        level.Add(5);
        level.Add(-2);
        meter.CreateObservableGauge("a.free", () => 7L, "By");
        var histogram = meter.CreateHistogram<double>("a.time", "s");
        histogram.Record(0.002);
        histogram.Record(100);

        var text = new StringWriter();
        registry.Write(text);

        var lines = text.ToString().Split('\n');
        lines.ShouldContain("""a_pushes_total{kind="a\"b\\c\nd"} 3""");
        lines.ShouldContain("""# HELP a_pushes_total Pushes\nmade.""");
        lines.ShouldContain("# TYPE a_active gauge");
        lines.ShouldContain("a_active 3");
        lines.ShouldContain("a_free_bytes 7");
        lines.ShouldContain("""a_time_seconds_bucket{le="0.001"} 0""");
        lines.ShouldContain("""a_time_seconds_bucket{le="0.0025"} 1""");
        lines.ShouldContain("""a_time_seconds_bucket{le="60"} 1""");
        lines.ShouldContain("""a_time_seconds_bucket{le="+Inf"} 2""");
        lines.ShouldContain("a_time_seconds_sum 100.002");
        lines.ShouldContain("a_time_seconds_count 2");
    }

    [Fact]
    public void A_label_without_bounds_is_cut_off_and_counted()
    {
        using var meter = new Meter("test");
        using var registry = new MetricRegistry(one => one == meter);
        var counter = meter.CreateCounter<long>("a.paths");
        for (var i = 0; i < 2_500; i++)
        {
            counter.Add(1, new KeyValuePair<string, object?>("path", i));
        }

        var text = new StringWriter();
        registry.Write(text);

        text.ToString().Split('\n').Count(line => line.StartsWith("a_paths_total{", StringComparison.Ordinal)).ShouldBe(2_000);
        text.ToString().ShouldContain("slipway_metrics_dropped_total 500\n");
    }

    [Fact]
    public void A_measurement_on_a_known_series_allocates_nothing()
    {
        using var meter = new Meter("test");
        using var registry = new MetricRegistry(one => one == meter);
        var counter = meter.CreateCounter<long>("a.hits");
        object status = 200;
        var tag = new KeyValuePair<string, object?>("status", status);
        counter.Add(1, tag);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1_000; i++)
        {
            counter.Add(1, tag);
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(1_000);
    }
}
