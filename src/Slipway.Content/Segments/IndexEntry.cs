namespace Slipway.Content;

/// <summary>
/// One slot of a <see cref="BlobIndex"/>: 32 bytes, so two share a cache line.
/// <code>
///   key   8 bytes of the hash (0 to 7)
///   name  7 bytes of the hash (8 to 14), and the kind in the top byte: 0 marks a free slot
///   place 48 bits segment (24) and offset in 8 bytes (24), or a large file's number · 1 large · 3 codec · 12 high bits of the time
///   size  40 bits length, or stored length (20) and length (20) of a small blob    · 24 low bits of the time
/// </code>
/// Together with the shard (6 bits of byte 31), 126 bits of the hash are compared; the record has them all and is checked when it
/// is read. Time: seconds since 1970, 36 bits.
/// </summary>
internal readonly record struct IndexEntry(ulong Key, ulong Name, ulong Place, ulong Size)
{
    /// <summary>A blob of more bytes, before or after compression, is a file of its own. 20 bits.</summary>
    public const int MaxSmall = (1 << 20) - 1;

    /// <summary>1 TiB. 40 bits.</summary>
    public const long MaxLength = (1L << 40) - 1;

    private const ulong PlaceMask = (1UL << 48) - 1;
    private const ulong LargeBit = 1UL << 48;
    private const int CodecShift = 49;
    private const int TimeHighShift = 52;
    private const int TimeLowShift = 40;
    private const ulong SizeMask = (1UL << 40) - 1;

    public bool IsLarge => (Place & LargeBit) != 0;

    public BlobCodec Codec => (BlobCodec)((Place >> CodecShift) & 7);

    public uint Segment => (uint)(Place >> 24) & 0xffffff;

    public long Offset => (long)(Place & 0xffffff) << 3;

    public long FileNumber => (long)(Place & PlaceMask);

    public long Length => IsLarge ? (long)(Size & SizeMask) : (long)(Size & 0xfffff);

    public int StoredLength => (int)(Size >> 20) & 0xfffff;

    public long LastUsed => (long)(((Place >> TimeHighShift) << 24) | (Size >> TimeLowShift));

    /// <summary>The same bytes at the same place, whatever the times say.</summary>
    public bool IsSamePlace(in IndexEntry other) => ((Place ^ other.Place) & (PlaceMask | LargeBit)) == 0;

    public static IndexEntry Small(in BlobKey key, uint segment, long offset, BlobCodec codec, int stored, int length, long lastUsed) =>
        new(KeyOf(key), NameOf(key),
            ((ulong)segment << 24) | (ulong)(offset >> 3) | ((ulong)codec << CodecShift) | High(lastUsed),
            ((ulong)stored << 20) | (uint)length | Low(lastUsed));

    public static IndexEntry Large(in BlobKey key, long number, BlobCodec codec, long length, long lastUsed) =>
        new(KeyOf(key), NameOf(key),
            (ulong)number | LargeBit | ((ulong)codec << CodecShift) | High(lastUsed),
            (ulong)length | Low(lastUsed));

    public IndexEntry UsedAt(long lastUsed) => this with
    {
        Place = (Place & ((1UL << TimeHighShift) - 1)) | High(lastUsed),
        Size = (Size & SizeMask) | Low(lastUsed),
    };

    public static ulong KeyOf(in BlobKey key) => BitConverter.ToUInt64(key.Hash.AsSpan());

    public static ulong NameOf(in BlobKey key) =>
        (BitConverter.ToUInt64(key.Hash.AsSpan()[8..]) & 0x00ff_ffff_ffff_ffff) | ((ulong)key.Kind << 56);

    private static ulong High(long time) => ((ulong)time >> 24) << TimeHighShift;

    private static ulong Low(long time) => (ulong)time << TimeLowShift;
}
