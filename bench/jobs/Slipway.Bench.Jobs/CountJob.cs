using System.Text.Json.Serialization;
using Slipway.Queue;

namespace Slipway.Bench.Jobs;

/// <summary>The job that does nothing: 80 bytes as JSON, like those of the other systems.</summary>
/// <param name="At">When it was enqueued, µs since 1970.</param>
/// <param name="Level">Only where levels are compared.</param>
[JobType("count")]
internal sealed record CountJob(long Id, long At, string Pad, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] int Level = 0)
{
    // {"id":1234567,"at":1763700000000000,"pad":"..."}
    private static readonly string Padding = new('x', 35);

    public static CountJob New(long id, int level = 0) => new(id, Clock.Now, Padding, level);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(CountJob))]
internal sealed partial class JobJson : JsonSerializerContext;

/// <summary>The clock that all programs of a measurement read.</summary>
internal static class Clock
{
    /// <summary>µs since 1970.</summary>
    public static long Now => (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
}
