using System.Buffers;
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

    /// <summary>Entries read or written at a time: 80 KB.</summary>
    private const int BlockEntries = 1_000;

    private const ulong Magic = 0x31444e4550494c53;

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

    /// <summary>Whether the file ends with a footer for records up to an offset, whole and unharmed.</summary>
    public static bool IsSound(IVolumeFile file, uint segment, long recordsEnd)
    {
        var length = file.Length;
        Span<byte> trailer = stackalloc byte[TrailerSize];
        if (file.Read(trailer, length - TrailerSize) != TrailerSize || !TryReadTrailer(trailer, segment, length, out var offset, out var count) || offset != recordsEnd)
        {
            return false;
        }

        var buffer = ArrayPool<byte>.Shared.Rent(BlockEntries * EntrySize);
        try
        {
            var crc = uint.MaxValue;
            for (var left = (long)count * EntrySize; left > 0;)
            {
                var block = buffer.AsSpan(0, (int)Math.Min(left, BlockEntries * EntrySize));
                if (file.Read(block, offset) != block.Length)
                {
                    return false;
                }

                crc = Crc32C.Append(crc, block);
                offset += block.Length;
                left -= block.Length;
            }

            return ~crc == BinaryPrimitives.ReadUInt32LittleEndian(trailer[24..]);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The entries of a sound footer, read a block at a time: a segment of tiny blobs has 700,000 of them.</summary>
    public static IEnumerable<PlacedRecord> Read(IVolumeFile file, long offset)
    {
        var end = file.Length - TrailerSize;
        var buffer = new byte[BlockEntries * EntrySize];
        while (offset < end)
        {
            var read = file.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - offset)), offset);
            if (read < EntrySize)
            {
                throw new IOException($"The footer of {file.Path} became shorter while it was read.");
            }

            for (var at = 0; at + EntrySize <= read; at += EntrySize)
            {
                yield return Decode(buffer.AsSpan(at, EntrySize));
            }

            offset += read - (read % EntrySize);
        }
    }

    /// <summary>A footer in memory.</summary>
    public static byte[] Encode(IReadOnlyList<PlacedRecord> records, uint segment, long recordsEnd)
    {
        var footer = new byte[(records.Count * EntrySize) + TrailerSize];
        for (var at = 0; at < records.Count; at++)
        {
            Encode(records[at], footer.AsSpan(at * EntrySize, EntrySize));
        }

        EncodeTrailer(footer.AsSpan(records.Count * EntrySize), records.Count, segment, recordsEnd, Crc32C.Of(footer.AsSpan(0, records.Count * EntrySize)));
        return footer;
    }

    /// <summary>The entries of a footer in memory; false when they don't have their checksum.</summary>
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
            records.Add(Decode(entries[..EntrySize]));
        }

        return true;
    }

    private static void Encode(in PlacedRecord placed, Span<byte> to)
    {
        to.Clear();
        to[0] = (byte)placed.Record.What;
        to[1] = (byte)placed.Record.Key.Kind;
        to[2] = (byte)placed.Record.Codec;
        BinaryPrimitives.WriteInt32LittleEndian(to[4..], placed.Record.StoredLength);
        BinaryPrimitives.WriteInt64LittleEndian(to[8..], placed.Offset);
        BinaryPrimitives.WriteInt64LittleEndian(to[16..], placed.Record.Length);
        BinaryPrimitives.WriteInt64LittleEndian(to[24..], placed.Record.LastUsed);
        placed.Record.Key.Hash.AsSpan().CopyTo(to[32..]);
        BinaryPrimitives.WriteInt64LittleEndian(to[64..], placed.Large.Number);
        BinaryPrimitives.WriteInt64LittleEndian(to[72..], placed.Large.StoredLength);
    }

    private static void EncodeTrailer(Span<byte> to, int count, uint segment, long recordsEnd, uint crc)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(to[8..], count);
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], segment);
        BinaryPrimitives.WriteInt64LittleEndian(to[16..], recordsEnd);
        BinaryPrimitives.WriteUInt32LittleEndian(to[24..], crc);
        BinaryPrimitives.WriteUInt32LittleEndian(to[28..], Crc32C.Of(to[..28]));
    }

    private static PlacedRecord Decode(ReadOnlySpan<byte> entry)
    {
        var record = new Record(
            (RecordKind)entry[0],
            new BlobKey((BlobKind)entry[1], Digest.FromBytes(entry.Slice(32, Digest.Size))),
            (BlobCodec)entry[2],
            BinaryPrimitives.ReadInt32LittleEndian(entry[4..]),
            BinaryPrimitives.ReadInt64LittleEndian(entry[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(entry[24..]),
            PayloadCrc: 0);
        return new PlacedRecord(
            record,
            BinaryPrimitives.ReadInt64LittleEndian(entry[8..]),
            new LargeFile(BinaryPrimitives.ReadInt64LittleEndian(entry[64..]), BinaryPrimitives.ReadInt64LittleEndian(entry[72..]), 0));
    }

    /// <summary>Writes a footer behind the records, entry by entry.</summary>
    public sealed class Writer(IVolumeFile file, uint segment, long recordsEnd) : IDisposable
    {
        private readonly byte[] buffer = ArrayPool<byte>.Shared.Rent(BlockEntries * EntrySize);
        private int buffered;
        private long written;
        private int count;
        private uint crc = uint.MaxValue;

        public void Add(PlacedRecord placed)
        {
            if (buffered == BlockEntries * EntrySize)
            {
                Flush();
            }

            Encode(placed, buffer.AsSpan(buffered, EntrySize));
            buffered += EntrySize;
            count++;
        }

        /// <exception cref="IOException">The records end somewhere else: the segment is harmed, and a footer would hide it.</exception>
        public void Finish(long end)
        {
            if (end != recordsEnd)
            {
                throw new IOException($"{file.Path} has no sound record at byte {end} of {recordsEnd}.");
            }

            Flush();
            Span<byte> trailer = stackalloc byte[TrailerSize];
            EncodeTrailer(trailer, count, segment, recordsEnd, ~crc);
            file.Write(trailer, recordsEnd + written);
        }

        public void Dispose() => ArrayPool<byte>.Shared.Return(buffer);

        private void Flush()
        {
            var block = buffer.AsSpan(0, buffered);
            crc = Crc32C.Append(crc, block);
            file.Write(block, recordsEnd + written);
            written += buffered;
            buffered = 0;
        }
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
