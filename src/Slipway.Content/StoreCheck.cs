using System.Buffers;

namespace Slipway.Content;

/// <summary>
/// Reads a store and compares it with itself: every payload with the checksum it was written with, every index entry with the log.
/// That is both fsck (look) and scrub (look, and quarantine what has rotted).
/// </summary>
internal sealed class StoreCheck(IVolume volume, TimeProvider time, bool quarantine, long bytesPerSecond)
{
    /// <summary>Findings that are named; the rest is only counted.</summary>
    private const int MostNamed = 100;

    private readonly List<string> findings = [];
    private long spaces;
    private long blobs;
    private long bytes;
    private long faults;

    public StoreReport Report => new(spaces, blobs, bytes, faults, findings);

    public async Task CheckAsync(ContentSpace space, CancellationToken cancellationToken)
    {
        spaces++;
        // Counted first: what is put meanwhile is found in the log and not expected.
        var expected = space.Index.Count;
        long found = 0;
        foreach (var segment in space.Segments)
        {
            if (!segment.TryPin())
            {
                continue;
            }

            try
            {
                var started = time.GetTimestamp();
                found += await CheckAsync(space, segment, cancellationToken);
                await PaceAsync(segment.Length, started, cancellationToken);
            }
            finally
            {
                segment.Unpin();
            }
        }

        // Fewer in the log than in the index: something points at nothing. Removals since we counted only make it look better.
        if (found < Math.Min(expected, space.Index.Count))
        {
            Fault($"{space.Owner}: {expected - found} blobs of the index are not in the log.");
        }
    }

    private async Task<long> CheckAsync(ContentSpace space, Segment segment, CancellationToken cancellationToken)
    {
        long found = 0;
        var rotten = new List<PlacedRecord>();
        var length = segment.Length;
        var records = new List<PlacedRecord>();
        var end = segment.Scan(Segment.HeaderSize, length, checkPayloads: true, records.Add, rotten.Add);
        bytes += length;
        foreach (var placed in rotten.Where(placed => IsCurrent(space, segment, placed, out _)))
        {
            found++;
            Rotten(space, placed, segment, "its bytes do not have the checksum they were written with");
        }

        if (end < length)
        {
            Fault($"{segment.Name}: no sound record at byte {end} of {length}.");
        }

        foreach (var placed in records)
        {
            if (placed.Record.What == RecordKind.Removed || !IsCurrent(space, segment, placed, out _))
            {
                continue;
            }

            found++;
            blobs++;
            if (placed.Record.What == RecordKind.Large && !await IsSoundAsync(placed.Large, cancellationToken) && IsCurrent(space, segment, placed, out _))
            {
                Rotten(space, placed, segment, $"{LargeFile.NameOf(placed.Large.Number)} does not have the bytes it was written with");
            }
        }

        return found;
    }

    private async Task<bool> IsSoundAsync(LargeFile large, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        try
        {
            using var file = volume.Open(LargeFile.NameOf(large.Number), forWriting: false);
            var crc = uint.MaxValue;
            for (long at = 0; ;)
            {
                var started = time.GetTimestamp();
                var read = await file.ReadAsync(buffer, at, cancellationToken);
                if (read == 0)
                {
                    return at == large.StoredLength && ~crc == large.Crc;
                }

                crc = Crc32C.Append(crc, buffer.AsSpan(0, read));
                at += read;
                bytes += read;
                await PaceAsync(read, started, cancellationToken);
            }
        }
        catch (FileNotFoundException)
        {
            return false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Rotten(ContentSpace space, PlacedRecord placed, Segment segment, string why)
    {
        Fault($"{placed.Record.Key}: {why}{(quarantine ? "; quarantined" : "")}.");
        if (quarantine)
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

    private static bool IsCurrent(ContentSpace space, Segment segment, PlacedRecord placed, out IndexEntry entry) =>
        space.Index.TryGet(placed.Record.Key, out entry) && entry.IsSamePlace(placed.EntryIn(segment.Number));

    private async Task PaceAsync(long read, long started, CancellationToken cancellationToken)
    {
        if (bytesPerSecond > 0 && TimeSpan.FromSeconds((double)read / bytesPerSecond) - time.GetElapsedTime(started) is { Ticks: > 0 } rest)
        {
            await Task.Delay(rest, time, cancellationToken);
        }
    }
}

/// <summary>What a check of a store found. <paramref name="Findings"/> names the first 100 of <paramref name="Faults"/>.</summary>
public sealed record StoreReport(long Spaces, long Blobs, long BytesRead, long Faults, IReadOnlyList<string> Findings);
