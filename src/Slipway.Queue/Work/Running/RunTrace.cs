using System.Collections;
using System.Diagnostics;
using System.Globalization;

namespace Slipway.Queue.Work;

/// <summary>The consumer's span of one run, linked to the producer's trace, and the scope of its log lines. Nothing, when nobody listens.</summary>
internal readonly struct RunTrace : IDisposable
{
    private readonly Activity? activity;
    private readonly IDisposable? scope;

    private RunTrace(Activity? activity, IDisposable? scope)
    {
        this.activity = activity;
        this.scope = scope;
    }

    public static RunTrace Start(Worker worker, JobContext run)
    {
        bool traced = QueueMetrics.Source.HasListeners();
        if (!traced && !worker.LogsScopes)
        {
            return default;
        }

        ActivityContext.TryParse(run.Job.TraceParent, null, isRemote: true, out ActivityContext producer);
        Activity? activity = traced
            ? QueueMetrics.Source.StartActivity(
                run.Job.Type,
                ActivityKind.Consumer,
                producer,
                [
                    new("messaging.system", "slipway"), new("messaging.operation.type", "process"), new("messaging.destination.name", worker.Broker.Queue),
                    new("messaging.message.id", run.Job.Id.ToString()), new("slipway.job.attempt", run.Job.Attempt),
                ],
                producer == default ? null : [new ActivityLink(producer)])
            : null;
        ActivityContext seen = activity?.Context ?? producer;
        return new RunTrace(activity, worker.LogsScopes ? worker.HandlerLogger.BeginScope(new Scope(worker.Broker.Queue, run.Job, seen)) : null);
    }

    public void Failed(Exception error)
    {
        activity?.SetStatus(ActivityStatusCode.Error, error.Message);
        activity?.AddException(error);
    }

    public void Dispose()
    {
        scope?.Dispose();
        activity?.Dispose();
    }

    private sealed class Scope(string queue, Job job, ActivityContext trace) : IReadOnlyList<KeyValuePair<string, object?>>
    {
        public int Count => trace == default ? 4 : 6;

        public KeyValuePair<string, object?> this[int index] => index switch
        {
            0 => new("Queue", queue),
            1 => new("JobType", job.Type),
            2 => new("JobId", job.Id),
            3 => new("Attempt", job.Attempt),
            4 => new("TraceId", trace.TraceId.ToHexString()),
            5 => new("SpanId", trace.SpanId.ToHexString()),
            _ => throw new ArgumentOutOfRangeException(nameof(index)),
        };

        public IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
        {
            for (int i = 0; i < Count; i++)
            {
                yield return this[i];
            }
        }

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{job.Type} {job.Id}");
    }
}
