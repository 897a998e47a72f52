using System.Text.Json.Serialization;

namespace Slipway.Cli.GoCache;

/// <summary>What the go command asks (its package <c>cmd/go/internal/cacheprog</c>). Byte strings are base64.</summary>
/// <param name="BodySize">When not 0, the body follows as one JSON string of base64, on a line of its own.</param>
/// <param name="ObjectID">What Go before 1.24 called the output id.</param>
internal sealed record GoRequest(long ID, string Command, byte[]? ActionID = null, byte[]? OutputID = null, long BodySize = 0, byte[]? ObjectID = null);

/// <summary>An answer; they may come in any order.</summary>
/// <param name="DiskPath">A file with the body, which stays until the go command has closed.</param>
internal sealed record GoResponse(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] long ID,
    string? Err = null,
    string[]? KnownCommands = null,
    bool Miss = false,
    byte[]? OutputID = null,
    long Size = 0,
    DateTimeOffset? Time = null,
    string? DiskPath = null);

[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(GoRequest))]
[JsonSerializable(typeof(GoResponse))]
internal sealed partial class GoCacheJson : JsonSerializerContext;
