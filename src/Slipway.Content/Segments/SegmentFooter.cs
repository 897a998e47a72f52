using System.Buffers.Binary;

namespace Slipway.Content;

/// <summary>
/// What a sealed segment ends with: its records without their payloads, so that an index is built from 80 bytes a blob instead of
/// reading them all. Little-endian.
/// <code>
///   entry (80)    0 what   1 kind   2 codec   4 stored length   8 offset   16 length   24 last use   32 hash   64 large: number, 72 stored length
///   trailer (32)  0 magic "SLIPEND1"   8 number of entries   12 segment   16 offset of the first   24 CRC-32C of the entries   28 of the trailer
/// </code>
/// </summary>
internal static class SegmentFooter
{
    public const int EntrySize = 80;
    public const int TrailerSize = 32;

    private const ulong Magic = 0x31444e4550494c53;

    public static byte[] Encode(IReadOnlyList<PlacedRecord> records, uint segment, long offset)
    {
        var footer = new byte[(records.Count * EntrySize) + TrailerSize];
        var to = footer.AsSpan();
        foreach (var (record, at, large) in records)
        {
            to[0] = (byte)record.What;
            to[1] = (byte)record.Key.Kind;
            to[2] = (byte)record.Codec;
            BinaryPrimitives.WriteInt32LittleEndian(to[4..], record.StoredLength);
            BinaryPrimitives.WriteInt64LittleEndian(to[8..], at);
            BinaryPrimitives.WriteInt64LittleEndian(to[16..], record.Length);
            BinaryPrimitives.WriteInt64LittleEndian(to[24..], record.LastUsed);
            record.Key.Hash.AsSpan().CopyTo(to[32..]);
            BinaryPrimitives.WriteInt64LittleEndian(to[64..], large.Number);
            BinaryPrimitives.WriteInt64LittleEndian(to[72..], large.StoredLength);
            to = to[EntrySize..];
        }

        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(to[8..], records.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], segment);
        BinaryPrimitives.WriteInt64LittleEndian(to[16..], offset);
        BinaryPrimitives.WriteUInt32LittleEndian(to[24..], Crc32C.Of(footer.AsSpan(0, footer.Length - TrailerSize)));
        BinaryPrimitives.WriteUInt32LittleEndian(to[28..], Crc32C.Of(to[..28]));
        return footer;
    }

    /// <summary>Where the entries begin and how many there are, when a file of that length ends with a trailer.</summary>
    public static bool TryReadTrailer(ReadOnlySpan<byte> trailer, uint segment, long fileLength, out long offset, out int count)
    {
        offset = 0;
        count = 0;
        if (trailer.Length != TrailerSize
            || BinaryPrimitives.ReadUInt64LittleEndian(trailer) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(trailer[12..]) != segment
            || BinaryPrimitives.ReadUInt32LittleEndian(trailer[28..]) != Crc32C.Of(trailer[..28]))
        {
            return false;
        }

        count = BinaryPrimitives.ReadInt32LittleEndian(trailer[8..]);
        offset = BinaryPrimitives.ReadInt64LittleEndian(trailer[16..]);
        return count >= 0 && offset >= Segment.HeaderSize && offset + ((long)count * EntrySize) + TrailerSize == fileLength;
    }

    public static bool TryDecode(ReadOnlySpan<byte> footer, out List<PlacedRecord> records)
    {
        records = [];
        var entries = footer[..^TrailerSize];
        if (BinaryPrimitives.ReadUInt32LittleEndian(footer[^8..]) != Crc32C.Of(entries))
        {
            return false;
        }

        records.Capacity = entries.Length / EntrySize;
        for (; entries.Length > 0; entries = entries[EntrySize..])
        {
            var record = new Record(
                (RecordKind)entries[0],
                new BlobKey((BlobKind)entries[1], Digest.FromBytes(entries.Slice(32, Digest.Size))),
                (BlobCodec)entries[2],
                BinaryPrimitives.ReadInt32LittleEndian(entries[4..]),
                BinaryPrimitives.ReadInt64LittleEndian(entries[16..]),
                BinaryPrimitives.ReadInt64LittleEndian(entries[24..]),
                PayloadCrc: 0);
            records.Add(new PlacedRecord(
                record,
                BinaryPrimitives.ReadInt64LittleEndian(entries[8..]),
                new LargeFile(BinaryPrimitives.ReadInt64LittleEndian(entries[64..]), BinaryPrimitives.ReadInt64LittleEndian(entries[72..]), 0)));
        }

        return true;
    }
}

/// <summary>A record and where it lies in its segment; <paramref name="Large"/> when that is what it says.</summary>
internal readonly record struct PlacedRecord(Record Record, long Offset, LargeFile Large)
{
    /// <summary>The slot that points at it.</summary>
    public IndexEntry EntryIn(uint segment) => Record.What == RecordKind.Large
        ? IndexEntry.Large(Record.Key, Large.Number, Record.Codec, Record.Length, Record.LastUsed)
        : IndexEntry.Small(Record.Key, segment, Offset, Record.Codec, Record.StoredLength, (int)Record.Length, Record.LastUsed);
}
