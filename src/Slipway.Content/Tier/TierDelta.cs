using System.Text.Json;
using System.Text.Json.Serialization;

namespace Slipway.Content;

/// <summary>
/// One entry of a server's log in the bucket: what is there from now on and what is not any more. Its segments are, space by space, a
/// further stretch of the server's own log, so whatever they refer to is in them or came before.
/// </summary>
/// <param name="Segments">In the order of the log. One that was there with a smaller length has grown.</param>
/// <param name="Removed">Their bytes go after a delay, in which those who still use something of them copy it.</param>
/// <param name="Dropped">Spaces that were deleted with all that any server has in them.</param>
/// <param name="TakesOver">A dead server whose objects are this one's to remove from now on.</param>
/// <param name="ClosedBy">The server that took this log over: it goes no further.</param>
internal sealed record TierDelta(
    Guid Server,
    long Sequence,
    DateTimeOffset At,
    IReadOnlyList<TierSegment> Segments,
    IReadOnlyList<TierFile> Files,
    IReadOnlyList<TierRemoval> Removed,
    IReadOnlyList<Guid> Dropped,
    Guid? TakesOver = null,
    Guid? ClosedBy = null)
{
    public byte[] Encode() => JsonSerializer.SerializeToUtf8Bytes(this, TierJson.Default.TierDelta);

    /// <exception cref="ObjectStorageException">It is no such thing.</exception>
    public static TierDelta Decode(byte[] bytes, string key) => TierJson.Decode(bytes, TierJson.Default.TierDelta, key);
}

/// <param name="Length">Bytes of header and records.</param>
/// <param name="Bytes">Of the object: with the footer.</param>
internal sealed record TierSegment(Guid Space, uint Number, DateTimeOffset MadeAt, long Length, long Bytes);

internal sealed record TierFile(Guid Space, long Number, long Bytes);

/// <param name="Segment">Or null, then it is <paramref name="File"/>.</param>
internal sealed record TierRemoval(Guid Server, Guid Space, uint? Segment, long? File);

/// <summary>All a server has after an entry of its log, for those who come later.</summary>
internal sealed record TierSnapshot(
    Guid Server,
    long Sequence,
    DateTimeOffset At,
    IReadOnlyList<TierSegment> Segments,
    IReadOnlyList<TierFile> Files,
    IReadOnlyList<Guid> Dropped,
    IReadOnlyList<Guid> TakenOver)
{
    public byte[] Encode() => JsonSerializer.SerializeToUtf8Bytes(this, TierJson.Default.TierSnapshot);

    public static TierSnapshot Decode(byte[] bytes, string key) => TierJson.Decode(bytes, TierJson.Default.TierSnapshot, key);
}

/// <param name="Host">For people.</param>
/// <param name="Sequence">The last entry of its log.</param>
/// <param name="Snapshot">The last entry a snapshot covers; 0: there is none. Entries before it may be gone.</param>
internal sealed record TierServer(Guid Server, string Host, long Sequence, long Snapshot)
{
    public byte[] Encode() => JsonSerializer.SerializeToUtf8Bytes(this, TierJson.Default.TierServer);

    public static TierServer Decode(byte[] bytes, string key) => TierJson.Decode(bytes, TierJson.Default.TierServer, key);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(TierDelta))]
[JsonSerializable(typeof(TierSnapshot))]
[JsonSerializable(typeof(TierServer))]
[JsonSerializable(typeof(CatalogLine))]
internal sealed partial class TierJson : JsonSerializerContext
{
    public static T Decode<T>(byte[] bytes, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, string key)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(bytes, type) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new ObjectStorageException(ObjectFailure.Refused, $"{key} is not what a Slipway server writes: {e.Message}", e);
        }
    }
}
