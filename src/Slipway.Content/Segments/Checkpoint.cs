using System.Buffers.Binary;

namespace Slipway.Content;

/// <summary>
/// A space's index as a file, "index/&lt;owner&gt;": what was in memory when it was written, and up to where in each segment that goes.
/// Whoever loads it replays the rest of the log on top. Little-endian.
/// <code>
///   magic "SLIPIDX1" · owner · next segment · next file · number of segments
///   segment × n:  number · bytes covered · made at · sealed                             CRC-32C of all so far
///   shard × 64:   capacity · count · CRC-32C of the slots · the slots as they lie in memory
/// </code>
/// Writing 32 bytes for each slot and reading them back is the fastest restart there is: 10 million blobs are 0.46 GB, a third of
/// a second at 1.4 GB/s.
/// </summary>
internal sealed record Checkpoint(Guid Owner, uint NextSegment, long NextFile, IReadOnlyList<CoveredSegment> Segments)
{
    private const ulong Magic = 0x3158444950494c53;
    private const int HeadSize = 8 + 16 + 4 + 8 + 4;
    private const int SegmentSize = 4 + 8 + 8 + 4;
    private const int ShardSize = 12;

    public static string NameOf(Guid owner) => $"index/{owner:n}";

    private string DraftName => NameOf(Owner) + ".new";

    /// <summary>Writes it beside the last one.</summary>
    public void Draft(IVolume volume, BlobIndex index)
    {
        var draft = DraftName;
        volume.Delete(draft);
        using (var file = volume.Create(draft))
        {
            var head = Encode();
            file.Write(head, 0);
            long at = head.Length;
            byte[] buffer = [];
            Span<byte> shardHead = stackalloc byte[ShardSize];
            for (var shard = 0; shard < BlobIndex.Shards; shard++)
            {
                var copied = index.CopyShard(shard, ref buffer, out var count);
                var slots = buffer.AsSpan(0, copied);
                BinaryPrimitives.WriteInt32LittleEndian(shardHead, slots.Length / SlotSize);
                BinaryPrimitives.WriteInt32LittleEndian(shardHead[4..], count);
                BinaryPrimitives.WriteUInt32LittleEndian(shardHead[8..], Crc32C.Of(slots));
                file.Write(shardHead, at);
                file.Write(slots, at + ShardSize);
                at += ShardSize + slots.Length;
            }

            file.Sync();
        }
    }

    /// <summary>Lets it take the place of the last one.</summary>
    public void Publish(IVolume volume)
    {
        volume.Rename(DraftName, NameOf(Owner));
        volume.SyncFolder("index");
    }

    /// <summary>Reads the head; the slots with <see cref="TryLoad"/>. Null when the file is not a whole, sound head.</summary>
    public static Checkpoint? Read(IVolume volume, string name)
    {
        using var file = volume.Open(name, forWriting: false);
        var head = new byte[HeadSize];
        if (file.Read(head, 0) != HeadSize || BinaryPrimitives.ReadUInt64LittleEndian(head) != Magic)
        {
            return null;
        }

        var count = BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(36));
        if (count < 0 || HeadSize + ((long)count * SegmentSize) + 4 > file.Length)
        {
            return null;
        }

        var rest = new byte[(count * SegmentSize) + 4];
        file.Read(rest, HeadSize);
        var crc = Crc32C.Append(Crc32C.Append(uint.MaxValue, head), rest.AsSpan(0, rest.Length - 4));
        if (BinaryPrimitives.ReadUInt32LittleEndian(rest.AsSpan(rest.Length - 4)) != ~crc)
        {
            return null;
        }

        var segments = new CoveredSegment[count];
        for (var i = 0; i < count; i++)
        {
            var from = rest.AsSpan(i * SegmentSize);
            segments[i] = new CoveredSegment(
                BinaryPrimitives.ReadUInt32LittleEndian(from),
                BinaryPrimitives.ReadInt64LittleEndian(from[4..]),
                DateTimeOffset.FromUnixTimeSeconds(BinaryPrimitives.ReadInt64LittleEndian(from[12..])),
                BinaryPrimitives.ReadInt32LittleEndian(from[20..]) != 0);
        }

        return new Checkpoint(
            new Guid(head.AsSpan(8, 16)), BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(24)), BinaryPrimitives.ReadInt64LittleEndian(head.AsSpan(28)), segments);
    }

    /// <summary>Reads the slots into an empty index; false when they are not all there and sound, and then the index is to be thrown away.</summary>
    public bool TryLoad(IVolume volume, BlobIndex index)
    {
        using var file = volume.Open(NameOf(Owner), forWriting: false);
        var shards = new (long At, int Capacity, int Count, uint Crc)[BlobIndex.Shards];
        long at = HeadSize + (Segments.Count * SegmentSize) + 4;
        Span<byte> head = stackalloc byte[ShardSize];
        for (var shard = 0; shard < BlobIndex.Shards; shard++)
        {
            if (file.Read(head, at) != ShardSize)
            {
                return false;
            }

            var capacity = BinaryPrimitives.ReadInt32LittleEndian(head);
            var count = BinaryPrimitives.ReadInt32LittleEndian(head[4..]);
            at += ShardSize;
            if (capacity < 0 || count < 0 || count > capacity || at + ((long)capacity * SlotSize) > file.Length)
            {
                return false;
            }

            shards[shard] = (at, capacity, count, BinaryPrimitives.ReadUInt32LittleEndian(head[8..]));
            at += (long)capacity * SlotSize;
        }

        return Parallel.For(0, BlobIndex.Shards, (shard, loop) =>
        {
            var (from, capacity, count, crc) = shards[shard];
            if (capacity > 0)
            {
                var slots = index.LoadShard(shard, capacity, count);
                if (file.Read(slots, from) != slots.Length || Crc32C.Of(slots) != crc)
                {
                    loop.Stop();
                }
            }
        }).IsCompleted;
    }

    private static unsafe int SlotSize => sizeof(IndexEntry);

    private byte[] Encode()
    {
        var head = new byte[HeadSize + (Segments.Count * SegmentSize) + 4];
        BinaryPrimitives.WriteUInt64LittleEndian(head, Magic);
        Owner.TryWriteBytes(head.AsSpan(8));
        BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(24), NextSegment);
        BinaryPrimitives.WriteInt64LittleEndian(head.AsSpan(28), NextFile);
        BinaryPrimitives.WriteInt32LittleEndian(head.AsSpan(36), Segments.Count);
        for (var i = 0; i < Segments.Count; i++)
        {
            var to = head.AsSpan(HeadSize + (i * SegmentSize));
            BinaryPrimitives.WriteUInt32LittleEndian(to, Segments[i].Number);
            BinaryPrimitives.WriteInt64LittleEndian(to[4..], Segments[i].Length);
            BinaryPrimitives.WriteInt64LittleEndian(to[12..], Segments[i].MadeAt.ToUnixTimeSeconds());
            BinaryPrimitives.WriteInt32LittleEndian(to[20..], Segments[i].IsSealed ? 1 : 0);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(head.Length - 4), Crc32C.Of(head.AsSpan(0, head.Length - 4)));
        return head;
    }
}

/// <summary>How much of a segment a checkpoint has.</summary>
internal readonly record struct CoveredSegment(uint Number, long Length, DateTimeOffset MadeAt, bool IsSealed);
