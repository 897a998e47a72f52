using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Slipway.Queue.Work;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Work;

/// <summary>Metrics, traces and log lines. Meter and source are the process's: other tests run beside, so each looks for its own types.</summary>
public sealed class Observing : WorkTest
{
    [Fact]
    public async Task Counters_and_times_are_told_by_type()
    {
        var sums = new ConcurrentDictionary<string, double>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listening) =>
            {
                if (instrument.Meter.Name == "Slipway.Queue")
                {
                    listening.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, _, tags, _) => Add(instrument, 1, tags));
        listener.Start();
        WorkQueue queue = Open();
        queue.Handle("observed-good", (_, _, _) => Task.CompletedTask);
        queue.Handle("observed-bad", (_, _, _) => throw new ObservedException(), o => o.GiveUpOn<ObservedException>());
        await queue.EnqueueManyAsync(Enumerable.Repeat(Draft("observed-good"), 7).Append(Draft("observed-bad")), cancellationToken: Token);
        await queue.StartAsync(Token);
        await AdvanceUntilAsync(() => sums.GetValueOrDefault("slipway.queue.completed observed-good") == 7, TimeSpan.FromMilliseconds(100));
        await AdvanceUntilAsync(() => sums.GetValueOrDefault("slipway.queue.failed observed-bad") == 1, TimeSpan.FromMilliseconds(100));
        sums["slipway.queue.produced observed-good"].ShouldBe(7);
        sums["slipway.queue.dead observed-bad ObservedException"].ShouldBe(1);
        sums["slipway.queue.processing observed-good"].ShouldBe(7);
        sums["slipway.queue.wait observed-good"].ShouldBe(7);

        void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            string key = instrument.Name;
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                key += tag.Key is "type" or "reason" ? " " + tag.Value : "";
            }

            sums.AddOrUpdate(key, value, (_, sum) => sum + value);
        }
    }

    [Fact]
    public void Unknown_types_fall_into_sixteen_buckets()
    {
        var labels = new TypeLabels(["known"]);
        labels.Of("known").Value.ShouldBe("known");
        Enumerable.Range(0, 10_000).Select(i => labels.Of($"made-up-{i}").Value).Distinct().Count().ShouldBe(16);
        labels.Of("made-up-1").ShouldBe(new TypeLabels([]).Of("made-up-1"));
    }

    [Fact]
    public async Task The_run_is_a_span_linked_to_the_enqueue_and_so_are_its_log_lines()
    {
        var spans = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Slipway.Queue",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = span =>
            {
                if (span.OperationName == "traced")
                {
                    spans.Enqueue(span);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        var log = new ScopeLog();
        using ILoggerFactory logging = LoggerFactory.Create(builder => builder.AddProvider(log));
        WorkQueue queue = Open(o => o with { Logging = logging });
        Activity? inside = null;
        queue.Handle("traced", async (_, context, _) =>
        {
            await Task.Yield();
            inside = Activity.Current;
            context.Logger.LogInformation("said in the handler");
        });
        await queue.StartAsync(Token);
        await queue.EnqueueAsync(Draft("traced"), cancellationToken: Token);
        await Eventually.TrueAsync(() => spans.Count == 2, Token);
        Activity producer = spans.Single(span => span.Kind == ActivityKind.Producer);
        Activity consumer = spans.Single(span => span.Kind == ActivityKind.Consumer);
        consumer.TraceId.ShouldBe(producer.TraceId);
        consumer.ParentSpanId.ShouldBe(producer.SpanId);
        consumer.Links.Single().Context.SpanId.ShouldBe(producer.SpanId);
        inside.ShouldBe(consumer);
        log.Lines.ShouldContain($"said in the handler TraceId={consumer.TraceId} SpanId={consumer.SpanId} JobType=traced");
    }

    private sealed class ObservedException : Exception;

    private sealed class ScopeLog : ILoggerProvider, ISupportExternalScope, ILogger
    {
        private IExternalScopeProvider scopes = null!;

        public ConcurrentQueue<string> Lines { get; } = new();

        public void SetScopeProvider(IExternalScopeProvider scopeProvider) => scopes = scopeProvider;

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => scopes.Push(state);

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var values = new Dictionary<string, object?>();
            scopes.ForEachScope(
                (scope, into) =>
                {
                    foreach (KeyValuePair<string, object?> pair in scope as IEnumerable<KeyValuePair<string, object?>> ?? [])
                    {
                        into[pair.Key] = pair.Value;
                    }
                },
                values);
            Lines.Enqueue($"{formatter(state, exception)} TraceId={values.GetValueOrDefault("TraceId")} SpanId={values.GetValueOrDefault("SpanId")} JobType={values.GetValueOrDefault("JobType")}");
        }

        public void Dispose()
        {
        }
    }
}
