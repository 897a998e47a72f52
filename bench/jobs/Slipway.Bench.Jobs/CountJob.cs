using System.Text.Json.Serialization;
using Slipway.Queue;

namespace Slipway.Bench.Jobs;

/// <summary>The job that does nothing: 80 bytes as JSON, like those of the other systems.</summary>
/// <remarks>Setters, because source-generated JSON reads a record with a constructor by a slower path: 685 bytes allocated per job worked with it, 581 without.</remarks>
[JobType("count")]
internal sealed class CountJob
{
    // {"id":1234567,"at":1763700000000000,"pad":"..."}
    private static readonly string Padding = new('x', 35);

    public long Id { get; set; }

    /// <summary>When it was enqueued, µs since 1970.</summary>
    public long At { get; set; }

    public string Pad { get; set; } = "";

    /// <summary>Only where levels are compared.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Level { get; set; }

    public static CountJob New(long id, int level = 0) => new() { Id = id, At = Clock.Now, Pad = Padding, Level = level };
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
