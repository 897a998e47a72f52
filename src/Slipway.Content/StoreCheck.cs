using System.Buffers;

namespace Slipway.Content;

/// <summary>How a store is compared with itself.</summary>
/// <param name="Deep">
/// Reads every byte that is on this machine and compares it with the checksum it was written with. Otherwise only what says where things are:
/// footers, the headers of what is not sealed, names and lengths of files.
/// </param>
/// <param name="Quarantine">Forget what has rotted, so that it is missing and the next upload heals it; otherwise only tell.</param>
/// <param name="BytesPerSecond">At most so many are read; 0 for as fast as the disk gives them.</param>
public sealed record StoreCheckOptions(bool Deep, bool Quarantine, long BytesPerSecond)
{
    /// <summary>Goes on behind this place, which an earlier check has reached.</summary>
    public StoreCheckPlace? After { get; init; }
}

/// <summary>How far a check has come: a segment is the step. Spaces are taken in the order of their ids.</summary>
public readonly record struct StoreCheckPlace(Guid Space, uint Segment);

/// <summary>
/// Reads a store and compares it with itself: every payload with the checksum it was written with, every index entry with the log.
/// That is both fsck (look) and scrub (look, and quarantine what has rotted).
/// </summary>
/// <remarks>
/// What lies only in a bucket is not read: that would cost a download of everything, and a record is checked whenever it is read from there.
/// </remarks>
internal sealed class StoreCheck(IVolume volume, TimeProvider time, StoreCheckOptions options, Action<StoreReport> progress)
{
    /// <summary>Findings that are named; the rest is only counted.</summary>
    private const int MostNamed = 100;

    /// <summary>Bytes read at a time, then a pause if there is to be one: 4 MiB keep a disk busy for 50 ms at most. Four times the largest record.</summary>
    private const long Step = 4 << 20;

    /// <summary>A disk that can't read a sector says EIO. .NET keeps the errno in HResult.</summary>
    private const int ReadError = 5;

    private readonly List<string> findings = [];
    private long spaces;
    private long blobs;
    private long bytes;
    private long bytesElsewhere;
    private long faults;
    private StoreCheckPlace? reached = options.After;

    public StoreReport Report => new(spaces, blobs, bytes, faults, [.. findings]) { BytesElsewhere = bytesElsewhere, Reached = reached };

    public async Task CheckAsync(ContentSpace space, CancellationToken cancellationToken)
    {
        spaces++;
        var behind = options.After is { } after && after.Space == space.Owner ? after.Segment : 0;
        // Counted first: what is put meanwhile is found in the log and not expected.
        var expected = space.Index.Count;
        long found = 0;
        foreach (var segment in space.Segments.OrderBy(segment => segment.Number))
        {
            if (segment.Number <= behind || !segment.TryPin())
            {
                continue;
            }

            try
            {
                found += await CheckAsync(space, segment, cancellationToken);
                reached = new StoreCheckPlace(space.Owner, segment.Number);
                progress(Report);
            }
            finally
            {
                segment.Unpin();
            }
        }

        // Fewer in the log than in the index: something points at nothing. Removals since we counted only make it look better.
        if (behind == 0 && found < Math.Min(expected, space.Index.Count) && await IsStillFewerAsync(space, expected, cancellationToken))
        {
            Fault($"{space.Owner}: {expected - found} blobs of the index are not in the log.");
        }

        progress(Report);
    }

    /// <summary>Compaction moves blobs to where a look that takes hours has not been, so it is repeated with one that takes a moment.</summary>
    private static async Task<bool> IsStillFewerAsync(ContentSpace space, long expected, CancellationToken cancellationToken)
    {
        const int Tries = 3;
        for (var attempt = 0; attempt < Tries; attempt++)
        {
            expected = Math.Min(expected, space.Index.Count);
            var before = space.Segments;
            var listed = await Task.Run(() => space.List().LongCount(), cancellationToken);
            if (listed >= Math.Min(expected, space.Index.Count))
            {
                return false;
            }

            if (before.SequenceEqual(space.Segments))
            {
                return true;
            }
        }

        return false;
    }

    private async Task<long> CheckAsync(ContentSpace space, Segment segment, CancellationToken cancellationToken)
    {
        var file = segment.File();
        var length = segment.Length;
        if (file.IsLocal && !HasSoundHeader(segment, file))
        {
            Fault($"{segment.Name}: its header is not sound.");
        }

        if (segment.IsSealed && !SegmentFooter.IsSound(file, segment.Number, length))
        {
            Fault($"{segment.Name}: its footer is not sound; its records are read one by one.");
        }

        if (!file.IsLocal)
        {
            bytesElsewhere += length;
        }

        return options.Deep && file.IsLocal
            ? await ReadAsync(space, segment, length, cancellationToken)
            : await LookAsync(space, segment, segment.Records(), cancellationToken);
    }

    private async Task<long> ReadAsync(ContentSpace space, Segment segment, long length, CancellationToken cancellationToken)
    {
        long found = 0;
        var records = new List<PlacedRecord>();
        var rotten = new List<PlacedRecord>();
        for (long at = Segment.HeaderSize; at < length;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var started = time.GetTimestamp();
            records.Clear();
            rotten.Clear();
            long end;
            try
            {
                end = segment.Scan(at, Math.Min(length, at + Step), checkPayloads: true, records.Add, rotten.Add);
            }
            catch (IOException exception) when (exception.HResult == ReadError)
            {
                return found + await ReadOneByOneAsync(space, segment, at, cancellationToken);
            }

            bytes += end - at;
            foreach (var placed in rotten.Where(placed => space.IsCurrent(placed, segment, out _)))
            {
                found++;
                Rotten(space, placed, segment, "its bytes do not have the checksum they were written with");
            }

            found += await LookAsync(space, segment, records, cancellationToken);
            if (end == at)
            {
                return found + await ReadOneByOneAsync(space, segment, at, cancellationToken);
            }

            await PaceAsync(end - at, started, cancellationToken);
            at = end;
        }

        return found;
    }

    /// <summary>There is no sound record at this place, and where the next one begins only the footer knows.</summary>
    private async Task<long> ReadOneByOneAsync(ContentSpace space, Segment segment, long from, CancellationToken cancellationToken)
    {
        if (!segment.IsSealed || !SegmentFooter.IsSound(segment.File(), segment.Number, segment.Length))
        {
            Fault($"{segment.Name}: no sound record at byte {from} of {segment.Length}, and no footer that knows what follows.");
            return 0;
        }

        long found = 0;
        foreach (var placed in SegmentFooter.Read(segment.File(), segment.Length).Where(placed => placed.Offset >= from))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (placed.Record.What == RecordKind.Removed || !space.IsCurrent(placed, segment, out _))
            {
                continue;
            }

            found++;
            var started = time.GetTimestamp();
            if (IsSound(segment, placed))
            {
                await CountAsync(space, segment, placed, cancellationToken);
            }
            else
            {
                Rotten(space, placed, segment, "its record is not the one that was written");
            }

            bytes += placed.Record.Size;
            await PaceAsync(placed.Record.Size, started, cancellationToken);
        }

        return found;
    }

    private async Task<long> LookAsync(ContentSpace space, Segment segment, IEnumerable<PlacedRecord> records, CancellationToken cancellationToken)
    {
        long found = 0;
        foreach (var placed in records)
        {
            if (placed.Record.What == RecordKind.Removed || !space.IsCurrent(placed, segment, out _))
            {
                continue;
            }

            found++;
            await CountAsync(space, segment, placed, cancellationToken);
        }

        return found;
    }

    /// <summary>A blob whose record is sound; if it is a large one, so has to be its file.</summary>
    private async Task CountAsync(ContentSpace space, Segment segment, PlacedRecord placed, CancellationToken cancellationToken)
    {
        if (placed.Record.What != RecordKind.Large || await FaultOfAsync(placed.Large, placed.Record.PayloadCrc != 0, cancellationToken) is not { } fault)
        {
            blobs++;
        }
        else if (space.IsCurrent(placed, segment, out _))
        {
            Rotten(space, placed, segment, $"{LargeFile.NameOf(placed.Large.Number)} {fault}");
        }
    }

    /// <param name="hasCrc">A footer tells number and length, the record itself the checksum too.</param>
    private async Task<string?> FaultOfAsync(LargeFile large, bool hasCrc, CancellationToken cancellationToken)
    {
        const string Rotten = "does not have the bytes it was written with";
        var buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        try
        {
            using var file = volume.Open(LargeFile.NameOf(large.Number), forWriting: false);
            if (!options.Deep || !file.IsLocal)
            {
                bytesElsewhere += file.IsLocal ? 0 : large.StoredLength;
                return file.Length == large.StoredLength ? null : $"has {file.Length} bytes instead of {large.StoredLength}";
            }

            var crc = uint.MaxValue;
            for (long at = 0; ;)
            {
                var started = time.GetTimestamp();
                var read = await file.ReadAsync(buffer, at, cancellationToken);
                if (read == 0)
                {
                    return at == large.StoredLength && (!hasCrc || ~crc == large.Crc) ? null : Rotten;
                }

                crc = Crc32C.Append(crc, buffer.AsSpan(0, read));
                at += read;
                bytes += read;
                await PaceAsync(read, started, cancellationToken);
            }
        }
        catch (FileNotFoundException)
        {
            return "is gone";
        }
        catch (IOException exception) when (exception.HResult == ReadError)
        {
            return "can't be read";
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static bool HasSoundHeader(Segment segment, IVolumeFile file)
    {
        Span<byte> expected = stackalloc byte[Segment.HeaderSize];
        Span<byte> there = stackalloc byte[Segment.HeaderSize];
        Segment.WriteHeader(expected, segment.Owner, segment.Number, segment.MadeAt);
        try
        {
            return file.Read(there, 0) == there.Length && there.SequenceEqual(expected);
        }
        catch (IOException exception) when (exception.HResult == ReadError)
        {
            return false;
        }
    }

    private static bool IsSound(Segment segment, in PlacedRecord placed)
    {
        var bytes = ArrayPool<byte>.Shared.Rent(Math.Max(1, placed.Record.StoredLength));
        try
        {
            return segment.TryRead(placed.Offset, placed.Record.Key, bytes.AsMemory(0, placed.Record.StoredLength));
        }
        catch (IOException exception) when (exception.HResult == ReadError)
        {
            return false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private void Rotten(ContentSpace space, PlacedRecord placed, Segment segment, string why)
    {
        Fault($"{placed.Record.Key}: {why}{(options.Quarantine ? "; quarantined" : "")}.");
        if (options.Quarantine)
        {
            space.Forget(placed.Record.Key, placed.EntryIn(segment.Number), why);
        }
    }

    private void Fault(string what)
    {
        faults++;
        if (findings.Count < MostNamed)
        {
            findings.Add(what);
        }
    }

    private async Task PaceAsync(long read, long started, CancellationToken cancellationToken)
    {
        progress(Report);
        if (options.BytesPerSecond > 0 && TimeSpan.FromSeconds((double)read / options.BytesPerSecond) - time.GetElapsedTime(started) is { Ticks: > 0 } rest)
        {
            await Task.Delay(rest, time, cancellationToken);
        }
    }
}

/// <summary>What a check of a store found. <paramref name="Findings"/> names the first 100 of <paramref name="Faults"/>.</summary>
public sealed record StoreReport(long Spaces, long Blobs, long BytesRead, long Faults, IReadOnlyList<string> Findings)
{
    /// <summary>Bytes that are only in the bucket and were not read.</summary>
    public long BytesElsewhere { get; init; }

    /// <summary>Where a check that was cut short can go on.</summary>
    public StoreCheckPlace? Reached { get; init; }
}
