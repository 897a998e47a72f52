using System.Buffers;
using System.Buffers.Binary;

namespace Slipway.Content;

/// <summary>
/// One file of a space's log: a header, records in the order they were written, and a footer once it is sealed.
/// <code>
///   header (64)  0 magic "SLIPSEG1"   8 owner   24 segment   32 made, seconds since 1970   60 CRC-32C of bytes 0 to 59
/// </code>
/// </summary>
/// <remarks>
/// The file is deleted when nobody reads it any more: readers pin the segment, and whoever gives up the last pin of a dropped one
/// deletes it. Handles are opened by the first reader.
/// </remarks>
internal sealed class Segment
{
    public const int HeaderSize = 64;

    /// <summary>
    /// 64 MiB: what eviction gives back at a time, what a crash makes us scan per space (46 ms at the disk's 1.4 GB/s), what S3 gets as
    /// one object. Offsets have 24 bits of 8 bytes, so up to 128 MiB would do.
    /// </summary>
    public const int DefaultMaxLength = 64 << 20;

    private const ulong Magic = 0x3147455350494c53;

    private readonly IVolume volume;
    private readonly Lock handleLock = new();
    private readonly TaskCompletionSource closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IVolumeFile? file;

    // One pin is the segment's own place in its space.
    private int pins = 1;

    // Owned by the space's writer.
    private long length;
    private long live;

    public Segment(IVolume volume, uint number, Guid owner, DateTimeOffset madeAt, long length, bool isSealed)
    {
        this.volume = volume;
        Number = number;
        Owner = owner;
        MadeAt = madeAt;
        this.length = length;
        IsSealed = isSealed;
    }

    public uint Number { get; }

    public Guid Owner { get; }

    public DateTimeOffset MadeAt { get; }

    public string Name => NameOf(Number);

    /// <summary>Bytes of header and records; the footer is not counted.</summary>
    public long Length => Volatile.Read(ref length);

    /// <summary>Bytes of records that the index points at.</summary>
    public long Live => Volatile.Read(ref live);

    public bool IsSealed { get; private set; }

    /// <summary>Completes when an attempt to seal it has ended; <see cref="IsSealed"/> says how.</summary>
    public Task SealEnded => closed.Task;

    /// <summary>Another server's: only that one rewrites or evicts it.</summary>
    public bool IsForeign => volume.IsForeign(Name);

    /// <summary>Has bytes that were not synced. Guarded by the space's sync lock.</summary>
    public bool IsDirty { get; set; }

    /// <summary>Its name in the folder was synced.</summary>
    public bool IsNameDurable { get; set; }

    public static string NameOf(uint number) => $"segments/{number:x8}";

    public static Segment Create(IVolume volume, uint number, Guid owner, DateTimeOffset madeAt)
    {
        var segment = new Segment(volume, number, owner, madeAt, HeaderSize, isSealed: false) { file = volume.Create(NameOf(number)) };
        Span<byte> header = stackalloc byte[HeaderSize];
        WriteHeader(header, owner, number, madeAt);
        segment.file.Write(header, 0);
        return segment;
    }

    public static void WriteHeader(Span<byte> header, Guid owner, uint number, DateTimeOffset madeAt)
    {
        header[..HeaderSize].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(header, Magic);
        owner.TryWriteBytes(header[8..]);
        BinaryPrimitives.WriteUInt32LittleEndian(header[24..], number);
        BinaryPrimitives.WriteInt64LittleEndian(header[32..], madeAt.ToUnixTimeSeconds());
        BinaryPrimitives.WriteUInt32LittleEndian(header[60..], Crc32C.Of(header[..60]));
    }

    /// <summary>The segment in a file, or null when the file's header was never written whole.</summary>
    public static Segment? Open(IVolume volume, uint number)
    {
        var file = volume.Open(NameOf(number), forWriting: true);
        Span<byte> header = stackalloc byte[HeaderSize];
        if (file.Read(header, 0) != HeaderSize
            || BinaryPrimitives.ReadUInt64LittleEndian(header) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(header[24..]) != number
            || BinaryPrimitives.ReadUInt32LittleEndian(header[60..]) != Crc32C.Of(header[..60]))
        {
            file.Dispose();
            return null;
        }

        var fileLength = file.Length;
        Span<byte> trailer = stackalloc byte[SegmentFooter.TrailerSize];
        var isSealed = fileLength >= HeaderSize + SegmentFooter.TrailerSize
            && file.Read(trailer, fileLength - SegmentFooter.TrailerSize) == trailer.Length;
        var end = fileLength;
        isSealed = isSealed && SegmentFooter.TryReadTrailer(trailer, number, fileLength, out end, out _);
        var madeAt = DateTimeOffset.FromUnixTimeSeconds(BinaryPrimitives.ReadInt64LittleEndian(header[32..]));
        return new Segment(volume, number, new Guid(header.Slice(8, 16)), madeAt, isSealed ? end : fileLength, isSealed) { file = file, IsNameDurable = true };
    }

    /// <summary>Appends bytes that hold whole records. Only the space's writer calls it.</summary>
    public void Append(ReadOnlySpan<byte> bytes, long at) => File().Write(bytes, at);

    /// <summary>What was appended counts from now on.</summary>
    public void Grow(long to) => Volatile.Write(ref length, to);

    public void AddLive(long bytes) => Interlocked.Add(ref live, bytes);

    /// <summary>Cuts off what a crash or a failed write left behind the last whole record.</summary>
    public void Truncate(long to)
    {
        File().Truncate(to);
        Grow(to);
    }

    /// <summary>Marks a record whose payload a crash has torn, so that the footer doesn't vouch for it.</summary>
    public void Void(in PlacedRecord torn)
    {
        Span<byte> header = stackalloc byte[Record.HeaderSize];
        (torn.Record with { What = RecordKind.Void }).WriteHeader(header, Number);
        File().Write(header, torn.Offset);
    }

    public void Sync() => File().Sync();

    /// <summary>Writes the footer and syncs. Nothing is appended afterwards.</summary>
    public void Seal()
    {
        try
        {
            SealRecords();
        }
        finally
        {
            closed.TrySetResult();
        }
    }

    private void SealRecords()
    {
        // The records before the footer that vouches for them: with one sync for both, power loss could keep the footer alone.
        File().Sync();
        using (var footer = new SegmentFooter.Writer(File(), Number, Length))
        {
            var end = Scan(HeaderSize, Length, checkPayloads: false, footer.Add, static _ => { });
            footer.Finish(end);
        }

        File().Sync();
        IsSealed = true;
    }

    /// <summary>Reads one small record; false when it is not, whole and sound, the one that is expected here.</summary>
    public bool TryRead(long offset, in BlobKey key, Memory<byte> payload)
    {
        var header = ArrayPool<byte>.Shared.Rent(Record.HeaderSize);
        try
        {
            return File().Read(header.AsMemory(0, Record.HeaderSize), payload, offset) == Record.HeaderSize + payload.Length
                && Record.TryReadHeader(header, Number, out var record)
                && record.Key == key
                && record.StoredLength == payload.Length
                && record.PayloadCrc == Crc32C.Of(payload.Span);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(header);
        }
    }

    /// <summary>The same for a segment whose bytes are not on this machine.</summary>
    public async ValueTask<bool> TryReadAsync(long offset, BlobKey key, Memory<byte> payload, CancellationToken cancellationToken)
    {
        var header = ArrayPool<byte>.Shared.Rent(Record.HeaderSize);
        try
        {
            return await File().ReadAsync(header.AsMemory(0, Record.HeaderSize), payload, offset, cancellationToken) == Record.HeaderSize + payload.Length
                && Record.TryReadHeader(header, Number, out var record)
                && record.Key == key
                && record.StoredLength == payload.Length
                && record.PayloadCrc == Crc32C.Of(payload.Span);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(header);
        }
    }

    /// <summary>All records, a few at a time: from the footer when there is a sound one, else by going from header to header.</summary>
    public IEnumerable<PlacedRecord> Records()
    {
        if (IsSealed && SegmentFooter.IsSound(File(), Number, Length))
        {
            return SegmentFooter.Read(File(), Length);
        }

        var records = new List<PlacedRecord>();
        Scan(HeaderSize, Length, checkPayloads: false, records.Add, static _ => { });
        return records;
    }

    /// <summary>
    /// Goes from header to header as far as they are sound, and returns how far that is. With <paramref name="checkPayloads"/> a record whose payload
    /// does not have its checksum is called rotten instead of found.
    /// </summary>
    public long Scan(long from, long to, bool checkPayloads, Action<PlacedRecord> found, Action<PlacedRecord> rotten)
    {
        var open = File();
        // 256 KiB: many small records a read; a record that is larger is read by itself.
        var buffer = ArrayPool<byte>.Shared.Rent(256 << 10);
        try
        {
            long start = from, filled = 0;
            var at = from;
            while (at + Record.HeaderSize <= to)
            {
                if (at + Record.HeaderSize > start + filled)
                {
                    start = at;
                    filled = open.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, to - at)), at);
                }

                if (filled - (at - start) < Record.HeaderSize || !Record.TryReadHeader(buffer.AsSpan((int)(at - start)), Number, out var record) || at + record.Size > to)
                {
                    break;
                }

                var payload = ReadOnlySpan<byte>.Empty;
                byte[]? rented = null;
                if (record.What != RecordKind.Void && (checkPayloads || record.What == RecordKind.Large))
                {
                    if (at + record.Size > start + filled)
                    {
                        start = at;
                        if (record.Size > buffer.Length)
                        {
                            rented = ArrayPool<byte>.Shared.Rent(record.StoredLength);
                            open.Read(rented.AsSpan(0, record.StoredLength), at + Record.HeaderSize);
                            payload = rented.AsSpan(0, record.StoredLength);
                            filled = 0;
                        }
                        else
                        {
                            filled = open.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, to - at)), at);
                        }
                    }

                    if (rented is null)
                    {
                        payload = buffer.AsSpan((int)(at - start) + Record.HeaderSize, record.StoredLength);
                    }
                }

                if (record.What == RecordKind.Void)
                {
                    at += record.Size;
                    continue;
                }

                var large = record.What == RecordKind.Large && payload.Length == Record.LargeSize ? LargeFile.Read(payload) : default;
                var placed = new PlacedRecord(record, at, large);
                if ((checkPayloads || record.What == RecordKind.Large) && Crc32C.Of(payload) != record.PayloadCrc)
                {
                    rotten(placed);
                }
                else
                {
                    found(placed);
                }

                if (rented is not null)
                {
                    ArrayPool<byte>.Shared.Return(rented);
                }

                at += record.Size;
            }

            return at;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Keeps the file from being deleted until <see cref="Unpin"/>; false when it is being deleted already.</summary>
    public bool TryPin()
    {
        while (true)
        {
            var seen = Volatile.Read(ref pins);
            if (seen == 0)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref pins, seen + 1, seen) == seen)
            {
                return true;
            }
        }
    }

    public void Unpin()
    {
        if (Interlocked.Decrement(ref pins) == 0)
        {
            Close();
            volume.Delete(Name);
        }
    }

    /// <summary>The open file.</summary>
    public IVolumeFile File()
    {
        if (file is { } open)
        {
            return open;
        }

        lock (handleLock)
        {
            return file ??= volume.Open(Name, forWriting: !IsSealed);
        }
    }

    /// <summary>When the store is closed. The file stays.</summary>
    public void Close()
    {
        lock (handleLock)
        {
            file?.Dispose();
            file = null;
        }
    }
}
