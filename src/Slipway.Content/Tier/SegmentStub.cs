namespace Slipway.Content;

/// <summary>
/// What stays here of a segment whose records are in the bucket: its header and its footer, in "tier/stubs/&lt;number&gt;-&lt;length&gt;", so that
/// it is loaded, listed and indexed without a request. That of another server's segment speaks of it by the numbers it has here.
/// </summary>
internal static class SegmentStub
{
    public const string Folder = "tier/stubs";

    public static string NameOf(uint local, long length) => $"{Folder}/{local:x8}-{length:x8}";

    /// <summary>Header and footer for a segment of which these records are known.</summary>
    public static byte[] Encode(CatalogSegment segment, IReadOnlyList<PlacedRecord> records)
    {
        var footer = SegmentFooter.Encode(records, segment.Local, segment.Length);
        var stub = new byte[Segment.HeaderSize + footer.Length];
        Segment.WriteHeader(stub, segment.Space, segment.Local, DateTimeOffset.FromUnixTimeSeconds(segment.MadeAt));
        footer.CopyTo(stub, Segment.HeaderSize);
        return stub;
    }

    public static void Write(IVolume disk, CatalogSegment segment, ReadOnlySpan<byte> stub)
    {
        var name = NameOf(segment.Local, segment.Length);
        disk.Delete(name);
        using (var file = disk.Create(name))
        {
            file.Write(stub, 0);
            file.Sync();
        }

        disk.SyncFolder(Folder);
    }

    /// <summary>Reads the part of a segment that its stub has.</summary>
    /// <returns>False when the offset lies among the records.</returns>
    public static bool TryRead(IVolume disk, CatalogSegment segment, long offset, Span<byte> buffer, out int read)
    {
        read = 0;
        var inHeader = offset < Segment.HeaderSize && offset + buffer.Length <= Segment.HeaderSize;
        if (!inHeader && offset < segment.Length)
        {
            return false;
        }

        using var file = disk.Open(NameOf(segment.Local, segment.Length), forWriting: false);
        read = file.Read(buffer, inHeader ? offset : offset - segment.Length + Segment.HeaderSize);
        return true;
    }

    public static long LengthOf(IVolume disk, CatalogSegment segment)
    {
        using var file = disk.Open(NameOf(segment.Local, segment.Length), forWriting: false);
        return segment.Length + file.Length - Segment.HeaderSize;
    }

    /// <summary>Puts the number a segment has here into the header of a record that was written under another one.</summary>
    public static void Renumber(Span<byte> recordHeader, uint from, uint to)
    {
        // One that is not sound stays so.
        if (from != to && Record.TryReadHeader(recordHeader, from, out var record))
        {
            record.WriteHeader(recordHeader, to);
        }
    }

    /// <summary>The records of a footer as they are to be known here: large files by their numbers here.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> footer, uint number, long bytes, Func<long, long> fileNumber, out List<PlacedRecord> records)
    {
        records = [];
        if (footer.Length < SegmentFooter.TrailerSize
            || !SegmentFooter.TryReadTrailer(footer[^SegmentFooter.TrailerSize..], number, bytes, out var at, out _)
            || at != bytes - footer.Length
            || !SegmentFooter.TryDecode(footer, out records))
        {
            return false;
        }

        records = [.. records.Select(placed => placed.Record.What == RecordKind.Large
            ? placed with { Large = placed.Large with { Number = fileNumber(placed.Large.Number) } }
            : placed)];
        return true;
    }
}
