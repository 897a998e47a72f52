using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;

namespace Slipway.BuildCache.Cas;

/// <summary>What a call of the cache did.</summary>
internal enum RequestKind : byte
{
    /// <summary>An action's result was found and all it refers to is here.</summary>
    ActionHit,

    /// <summary>No usable result; <see cref="RequestRecord.Reason"/> says why.</summary>
    ActionMiss,

    /// <summary>A result was stored.</summary>
    ActionWrite,

    /// <summary>A result was not stored because the caller may not; the client was told that it was.</summary>
    ActionWriteDropped,

    BlobRead,
    BlobMiss,
    BlobWrite,

    /// <summary>An upload of what was here already.</summary>
    BlobDuplicate,

    FindMissing,
    BatchRead,
    BatchUpdate,
    Tree,
    Split,
    Splice,
    AssetHit,
    AssetMiss,
    AssetPush,
}

/// <summary>Why a result or a blob was not served.</summary>
internal enum MissReason : byte
{
    None,

    /// <summary>Nothing is here under this key: never uploaded, or evicted since.</summary>
    Absent,

    /// <summary>The result is here, and one of the blobs it refers to isn't: <see cref="RequestRecord.MissingBlob"/>.</summary>
    Incomplete,

    /// <summary>Something is here under this hash with another size.</summary>
    OtherSize,

    /// <summary>The stored bytes are damaged. They have been set aside.</summary>
    Unreadable,
}

/// <summary>One call of the cache, as it is recorded. A struct, because it is made on the hot path.</summary>
internal readonly struct RequestRecord
{
    public required BuildCacheAccess Access { get; init; }

    public required RequestKind Kind { get; init; }

    public MissReason Reason { get; init; }

    /// <summary>The value of the RequestMetadata header as it came, or null; read it with <see cref="RequestMetadata.Parse"/> off the hot path.</summary>
    public string? Metadata { get; init; }

    /// <summary>The tool that calls, when its protocol has no such header and the route says which it is.</summary>
    public string? Tool { get; init; }

    /// <summary>The action (its entry's key in the cache is not told here) or the blob. Default for calls about many.</summary>
    public BlobDigest Subject { get; init; }

    /// <summary>The first blob that an incomplete result lacks.</summary>
    public BlobDigest MissingBlob { get; init; }

    /// <summary>Blobs the call was about.</summary>
    public int Blobs { get; init; }

    /// <summary>Blobs among them that were missing or refused.</summary>
    public int Missing { get; init; }

    /// <summary>Bytes of blobs that crossed the wire, as they crossed it.</summary>
    public long Bytes { get; init; }

    public TimeSpan Duration { get; init; }

    /// <summary>How long the action ran, of a hit or a write; zero when its result does not tell.</summary>
    public TimeSpan Cost { get; init; }
}

/// <summary>
/// Takes note of every call. Called on the hot path: it must not block, allocate or throw, and may drop records rather than wait.
/// </summary>
internal interface IRequestLog
{
    void Record(in RequestRecord record);
}
