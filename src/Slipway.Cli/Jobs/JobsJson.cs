using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Slipway.Api;
using Slipway.Cli.Jobs.Benching;
using Slipway.Cli.Jobs.Producing;
using Slipway.Cli.Jobs.Working;

namespace Slipway.Cli.Jobs;

/// <summary>What <c>slipway jobs … --json</c> prints beside the API's own objects.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(IReadOnlyList<JobTypeStats>))]
[JsonSerializable(typeof(EnqueueReport))]
[JsonSerializable(typeof(ScanReport))]
[JsonSerializable(typeof(WorkEvent))]
[JsonSerializable(typeof(BenchReport))]
internal sealed partial class JobsJson : JsonSerializerContext
{
    /// <summary>One object a line, for streams.</summary>
    public static JobsJson Lines { get; } = new(Readable(indented: false));

    public static JobsJson Indented { get; } = new(Readable(indented: true));

    private static JsonSerializerOptions Readable(bool indented) => new(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, WriteIndented = indented,
    };
}
