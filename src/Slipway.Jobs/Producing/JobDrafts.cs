using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Slipway.Api;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Producing;

/// <summary>Jobs as producers send them, checked and turned into the queue's drafts.</summary>
internal static class JobDrafts
{
    /// <summary>A year: beyond it a time is a mistake in its unit.</summary>
    private static readonly long LongestMs = (long)TimeSpan.FromDays(366).TotalMilliseconds;

    private const int MostPredecessors = 100;

    /// <param name="pointer">Where the job stands in the body: empty, or <c>/jobs/3</c>.</param>
    public static JobDraft Of(NewJob job, string pointer, JobsOptions options, Faults faults)
    {
        faults.Require(JobText.IsType(job.Type), pointer + "/type", JobText.TypeRule);
        faults.Require(job.Payload is null || job.PayloadBytes is null, pointer + "/payloadBytes", "must not stand beside payload");
        faults.Require(job.Priority is null or (>= 0 and <= 7), pointer + "/priority", "must be 0 (first) to 7 (last)");
        faults.Require(job.DelayMs is null || (job.DelayMs >= 0 && job.DelayMs <= LongestMs), pointer + "/delayMs", $"must be 0 to {LongestMs} milliseconds");
        faults.Require(job.At is null || job.DelayMs is null, pointer + "/at", "must not stand beside delayMs");
        faults.Require(job.Unique is null || JobText.IsKey(job.Unique), pointer + "/unique", JobText.KeyRule);
        faults.Require(job.UniqueForMs is null || (job.UniqueForMs >= 0 && job.UniqueForMs <= LongestMs), pointer + "/uniqueForMs", $"must be 0 to {LongestMs} milliseconds");
        faults.Require(job.UniqueForMs is null || job.Unique is not null, pointer + "/uniqueForMs", "needs unique beside it");
        faults.Require(job.Cost is null or (>= 1 and <= 255), pointer + "/cost", "must be 1 to 255");
        faults.Require(job.MaxAttempts is null or (>= 1 and <= 255), pointer + "/maxAttempts", "must be 1 to 255");
        faults.Require(job.TimeoutMs is null || (job.TimeoutMs >= 1 && job.TimeoutMs <= LongestMs), pointer + "/timeoutMs", $"must be 1 to {LongestMs} milliseconds");
        faults.Require(job.After is null || job.After.Count <= MostPredecessors, pointer + "/after", $"must name at most {MostPredecessors} jobs");
        faults.Require(job.TraceParent is null || JobText.IsTraceParent(job.TraceParent), pointer + "/traceParent", "must be a W3C traceparent such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        var payload = Payload(job);
        faults.Require(payload.Length <= options.MaxPayloadBytes, pointer + (job.Payload is null ? "/payloadBytes" : "/payload"), $"has {payload.Length} bytes, and {options.MaxPayloadBytes} is the limit; keep it elsewhere and enqueue where it is");
        return faults.Any
            ? new JobDraft { Type = "refused" }
            : new JobDraft
            {
                Type = job.Type,
                Payload = payload,
                Id = job.Id,
                Priority = (JobPriority)(job.Priority ?? (int)JobPriority.Normal),
                Delay = TimeSpan.FromMilliseconds(job.DelayMs ?? 0),
                At = job.At,
                UniqueKey = job.Unique,
                UniqueFor = TimeSpan.FromMilliseconds(job.UniqueForMs ?? 0),
                Cost = (byte)(job.Cost ?? 1),
                MaxAttempts = job.MaxAttempts ?? 0,
                Timeout = TimeSpan.FromMilliseconds(job.TimeoutMs ?? 0),
                Track = job.Track ?? false,
                Batch = job.Batch,
                After = job.After ?? [],
                TraceParent = job.TraceParent ?? (Activity.Current is { IdFormat: ActivityIdFormat.W3C } current ? current.Id : null),
            };
    }

    public static string Outcome(EnqueueOutcome outcome) => outcome switch
    {
        EnqueueOutcome.Added => "added",
        EnqueueOutcome.Duplicate => "duplicate",
        EnqueueOutcome.BatchClosed => "batchClosed",
        EnqueueOutcome.DependencyFailed => "dependencyFailed",
        _ => throw new ArgumentOutOfRangeException(nameof(outcome)),
    };

    /// <summary>JSON as it was sent, to the byte.</summary>
    private static ReadOnlyMemory<byte> Payload(NewJob job) => job switch
    {
        { PayloadBytes: { } bytes } => bytes,
        { Payload: { ValueKind: not JsonValueKind.Undefined } json } => JsonMarshal.GetRawUtf8Value(json).ToArray(),
        _ => default,
    };
}
