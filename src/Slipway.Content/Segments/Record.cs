using System.Buffers.Binary;

namespace Slipway.Content;

/// <summary>
/// What precedes a blob's bytes in a segment. Little-endian, 72 bytes; the payload follows and is padded to 8.
/// <code>
///    0 magic "SLR1"   4 kind   5 codec   6 what   7 zero
///    8 last use, seconds since 1970      16 stored length   20 segment
///   24 length         32 hash            64 CRC-32C of the payload   68 CRC-32C of bytes 0 to 67
/// </code>
/// The segment's number is in there so that bytes of a file that had these blocks before can never pass for a record of this one.
/// </summary>
internal readonly record struct Record(RecordKind What, BlobKey Key, BlobCodec Codec, int StoredLength, long Length, long LastUsed, uint PayloadCrc)
{
    public const int HeaderSize = 72;

    /// <summary>Payload of a <see cref="RecordKind.Large"/>: file number, bytes in the file, their CRC-32C.</summary>
    public const int LargeSize = 24;

    private const uint Magic = 0x31524c53;

    /// <summary>Bytes the whole record takes.</summary>
    public int Size => SizeOf(StoredLength);

    public static int SizeOf(int storedLength) => HeaderSize + ((storedLength + 7) & ~7);

    public void WriteHeader(Span<byte> to, uint segment)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(to, Magic);
        to[4] = (byte)Key.Kind;
        to[5] = (byte)Codec;
        to[6] = (byte)What;
        to[7] = 0;
        BinaryPrimitives.WriteInt64LittleEndian(to[8..], LastUsed);
        BinaryPrimitives.WriteInt32LittleEndian(to[16..], StoredLength);
        BinaryPrimitives.WriteUInt32LittleEndian(to[20..], segment);
        BinaryPrimitives.WriteInt64LittleEndian(to[24..], Length);
        Key.Hash.AsSpan().CopyTo(to[32..]);
        BinaryPrimitives.WriteUInt32LittleEndian(to[64..], PayloadCrc);
        BinaryPrimitives.WriteUInt32LittleEndian(to[68..], Crc32C.Of(to[..68]));
    }

    public static bool TryReadHeader(ReadOnlySpan<byte> from, uint segment, out Record record)
    {
        record = default;
        if (from.Length < HeaderSize
            || BinaryPrimitives.ReadUInt32LittleEndian(from) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(from[20..]) != segment
            || BinaryPrimitives.ReadUInt32LittleEndian(from[68..]) != Crc32C.Of(from[..68]))
        {
            return false;
        }

        record = new Record(
            (RecordKind)from[6],
            new BlobKey((BlobKind)from[4], Digest.FromBytes(from.Slice(32, Digest.Size))),
            (BlobCodec)from[5],
            BinaryPrimitives.ReadInt32LittleEndian(from[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[24..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[8..]),
            BinaryPrimitives.ReadUInt32LittleEndian(from[64..]));
        return record.StoredLength is >= 0 and <= IndexEntry.MaxSmall;
    }
}

/// <summary>What a record says. Values are part of the layout.</summary>
internal enum RecordKind : byte
{
    /// <summary>The payload is the blob.</summary>
    Blob = 0,

    /// <summary>The blob is the file whose number is the payload.</summary>
    Large = 1,

    /// <summary>The blob was taken away. No payload.</summary>
    Removed = 2,

    /// <summary>A crash tore the payload. Says nothing; it is there because sound records follow.</summary>
    Void = 3,
}

/// <summary>The payload of a <see cref="RecordKind.Large"/>.</summary>
internal readonly record struct LargeFile(long Number, long StoredLength, uint Crc)
{
    /// <summary>Files of other servers have numbers from here on: the server in the top 8 of 48 bits, its own number in the lower 40.</summary>
    public const long FirstForeign = 1L << 40;

    public static string NameOf(long number) => $"large/{number & 0xff:x2}/{number:x12}";

    public void WriteTo(Span<byte> to)
    {
        BinaryPrimitives.WriteInt64LittleEndian(to, Number);
        BinaryPrimitives.WriteInt64LittleEndian(to[8..], StoredLength);
        BinaryPrimitives.WriteUInt32LittleEndian(to[16..], Crc);
        BinaryPrimitives.WriteUInt32LittleEndian(to[20..], 0);
    }

    public static LargeFile Read(ReadOnlySpan<byte> from) => new(
        BinaryPrimitives.ReadInt64LittleEndian(from),
        BinaryPrimitives.ReadInt64LittleEndian(from[8..]),
        BinaryPrimitives.ReadUInt32LittleEndian(from[16..]));
}
