namespace Slipway.Content;

/// <summary>What a blob's key is. 4 bits on disk: at most 15. Values are part of the layout.</summary>
public enum BlobKind : byte
{
    /// <summary>The key is the SHA-256 of the bytes. Immutable.</summary>
    Sha256 = 1,

    /// <summary>The key is the BLAKE3 of the bytes. Immutable.</summary>
    Blake3 = 2,

    /// <summary>An action-cache entry under the SHA-256 of its action. The last write wins.</summary>
    ActionSha256 = 3,

    /// <summary>An action-cache entry under the BLAKE3 of its action. The last write wins.</summary>
    ActionBlake3 = 4,

    /// <summary>An object whose key a feature has chosen. The last write wins.</summary>
    Named = 5,
}

/// <summary>What a blob is found by inside a space.</summary>
public readonly record struct BlobKey(BlobKind Kind, Digest Hash)
{
    /// <summary>The key says what the bytes are, so a blob that is here needs no second writing.</summary>
    public bool IsContentAddressed => Kind is BlobKind.Sha256 or BlobKind.Blake3;

    public override string ToString() => $"{Kind}:{Hash}";
}

/// <summary>The form in which a blob's bytes are kept. 3 bits on disk.</summary>
public enum BlobCodec : byte
{
    /// <summary>As they are.</summary>
    Raw = 0,

    /// <summary>One or more zstd frames.</summary>
    Zstd = 1,
}

/// <summary>What an acknowledged write survives.</summary>
public enum Durability
{
    /// <summary>The death of this process. Power loss may take the last writes; never a part of one.</summary>
    Written,

    /// <summary>Power loss.</summary>
    Synced,
}

/// <summary>What a space knows of a blob without reading it.</summary>
public readonly struct BlobInfo
{
    internal BlobInfo(in BlobKey key, in IndexEntry entry)
    {
        Key = key;
        Entry = entry;
    }

    public BlobKey Key { get; }

    /// <summary>Bytes the blob has for its users, uncompressed.</summary>
    public long Length => Entry.Length;

    /// <summary>Bytes as stored, or -1 for a large one, which is a file of its own.</summary>
    public int StoredLength => Entry.IsLarge ? -1 : Entry.StoredLength;

    public bool IsLarge => Entry.IsLarge;

    public BlobCodec Codec => Entry.Codec;

    /// <summary>To the second. Renewed by <see cref="ContentSpace.Touch"/>, not by reading.</summary>
    public DateTimeOffset LastUsed => DateTimeOffset.FromUnixTimeSeconds(Entry.LastUsed);

    internal IndexEntry Entry { get; }
}

/// <summary>What a space holds. <paramref name="StoredBytes"/> is what its files take on the disk and what its quota is compared with.</summary>
public readonly record struct SpaceUsage(long Blobs, long StoredBytes, long LiveBytes, long Segments, long LargeFiles);
