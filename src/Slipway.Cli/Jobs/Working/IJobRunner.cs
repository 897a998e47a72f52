using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Slipway.Api;

namespace Slipway.Cli.Jobs.Working;

/// <summary>What is done with each job: a command, or an HTTP request.</summary>
internal interface IJobRunner : IDisposable
{
    /// <summary>For the list of a queue's workers.</summary>
    string About { get; }

    /// <summary>Cancelled: stops what it started, and throws. That it was too long, cancelled or lost is for the caller to say.</summary>
    Task<JobOutcome> RunAsync(RunningJob job, CancellationToken cancellationToken);
}

/// <summary>A leased job, and the lease's fencing token.</summary>
internal sealed record RunningJob(string Org, string Queue, long Token, LeasedJob Job)
{
    /// <summary>As it was enqueued, to the byte.</summary>
    public byte[] Payload { get; } = Job.Payload is { } json ? JsonMarshal.GetRawUtf8Value(json).ToArray() : Job.PayloadBytes ?? [];

    public bool IsJson => Job.Payload is not null;
}

/// <summary>How a run ended, in the words of <see cref="EndedJob"/>.</summary>
internal sealed record JobOutcome(string Kind, string Reason = "", string Error = "", TimeSpan? RetryAfter = null, byte[]? Result = null)
{
    /// <summary>What the server keeps of a result: see <see cref="EndedJob.Result"/>.</summary>
    public const int MostResult = 64 * 1024;

    /// <summary>What the server keeps of an error: see <see cref="EndedJob.Error"/>.</summary>
    private const int MostError = 2000;

    private const int MostReason = 100;

    public static JobOutcome Completed(byte[]? result = null) => new("completed", Result: result);

    public static JobOutcome Failed(string reason, string error) => new("failed", reason, error);

    public static JobOutcome Retry(string reason, string error, TimeSpan after) => new("retry", reason, error, after);

    public static JobOutcome Dead(string reason, string error) => new("dead", reason, error);

    public static JobOutcome Cancelled { get; } = new("cancelled");

    public static JobOutcome Released { get; } = new("released");

    public EndedJob ToEnd(int index, bool tracked)
    {
        JsonElement? json = null;
        var bytes = tracked ? Result : null;
        if (bytes is { Length: > 0 })
        {
            try
            {
                json = JsonElement.Parse(bytes);
                bytes = null;
            }
            catch (JsonException)
            {
                // Not JSON: kept as the bytes it is.
            }
        }

        return new EndedJob(
            index, Kind, (long?)RetryAfter?.TotalMilliseconds, Reason.Length > 0 ? Cut(Reason, MostReason) : null, Error.Length > 0 ? Tail(Error) : null, json, bytes is { Length: > 0 } ? bytes : null);
    }

    private static string Cut(string text, int most) => text.Length <= most ? text : text[..most];

    /// <summary>The end of an output says why; its beginning says how it started.</summary>
    private static string Tail(string text) => text.Length <= MostError ? text : string.Concat("…", text.AsSpan(text.Length - MostError + 1));

    /// <summary>Bytes as text, for errors: what is not UTF-8 is shown as such.</summary>
    public static string TextOf(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes).Trim();
}
