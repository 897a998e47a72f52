using System.Buffers;

namespace Slipway.Content;

/// <summary>
/// Makes room by giving back whole segments, the oldest first. What of them is still in use is copied to the end of the log; so a
/// space is a queue through which blobs travel once for as long as nobody asks for them, and again each time somebody did.
/// </summary>
internal sealed class SpaceEviction(ContentSpace space)
{
    /// <summary>
    /// Of the time since the oldest segment was made, the most recent quarter counts as "in use". More keeps more old blobs and rewrites
    /// more; with a quarter a blob that is asked for once per turn of the queue survives.
    /// </summary>
    private const int KeptPart = 4;

    /// <summary>A segment that would be copied by more than this part gives back too little: only the guaranteed age is kept of it.</summary>
    private const double MostCopied = 0.5;

    private readonly SemaphoreSlim one = new(1);

    /// <exception cref="ContentStoreException"><see cref="ContentFailure.QuotaExhausted"/>: everything is in use or too young to go.</exception>
    public async Task MakeRoomAsync(long bytes, CancellationToken cancellationToken)
    {
        var quota = space.Quota ?? long.MaxValue;
        await one.WaitAsync(cancellationToken);
        try
        {
            if (space.StoredBytes + bytes <= quota)
            {
                return;
            }

            // 5 % more than needed, so that the next put doesn't come here again.
            var goal = quota - bytes - (quota / 20);
            await DownToAsync(goal, cancellationToken);
            if (space.StoredBytes + bytes > quota)
            {
                throw new ContentStoreException(ContentFailure.QuotaExhausted,
                    $"The quota of {quota} bytes is used up: {space.StoredBytes} bytes are stored, and what of them may go was used within the last {space.MinimumAge.TotalMinutes:0} minutes. Raise the quota, or try again later.");
            }
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Takes away what was not used within <see cref="ContentSpace.Retention"/>. Segments made since then have nothing of it.</summary>
    public async Task ExpireAsync(CancellationToken cancellationToken)
    {
        if (space.Retention is not { } retention)
        {
            return;
        }

        await one.WaitAsync(cancellationToken);
        try
        {
            var oldest = space.Now - (long)retention.TotalSeconds;
            foreach (var segment in space.Segments.Where(segment => segment.IsSealed && !segment.IsForeign && segment.MadeAt.ToUnixTimeSeconds() < oldest))
            {
                await RewriteAsync(segment, usedSince: oldest, cancellationToken);
            }
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Rewrites sealed segments of which less than a part is alive. Loses nothing.</summary>
    /// <returns>Bytes given back.</returns>
    public async Task<long> CompactAsync(double alive, CancellationToken cancellationToken)
    {
        var before = space.StoredBytes;
        await one.WaitAsync(cancellationToken);
        try
        {
            foreach (var segment in space.Segments.Where(segment => segment.IsSealed && !segment.IsForeign && segment.Live < (segment.Length - Segment.HeaderSize) * alive))
            {
                await RewriteAsync(segment, usedSince: null, cancellationToken);
            }
        }
        finally
        {
            one.Release();
        }

        return Math.Max(0, before - space.StoredBytes);
    }

    /// <summary>Gives up one segment: what was used since then (seconds since 1970) is copied to the end of the log, the rest is forgotten.</summary>
    public async Task GiveUpAsync(Segment segment, long usedSince, CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            await RewriteAsync(segment, usedSince, cancellationToken);
        }
        finally
        {
            one.Release();
        }
    }

    private async Task DownToAsync(long goal, CancellationToken cancellationToken)
    {
        // A turn over the segments there are now, the one that is written to last: what is copied lands behind them.
        foreach (var segment in space.Segments)
        {
            if (space.StoredBytes <= goal)
            {
                return;
            }

            if (segment.IsForeign)
            {
                continue;
            }

            if (segment == space.Writer.Open)
            {
                await space.Writer.SealAsync(cancellationToken);
            }
            else if (!segment.IsSealed)
            {
                await segment.SealEnded.WaitAsync(cancellationToken);
            }

            await GiveBackAsync(segment, cancellationToken);
        }
    }

    private async Task GiveBackAsync(Segment segment, CancellationToken cancellationToken)
    {
        var guaranteed = space.Now - (long)space.MinimumAge.TotalSeconds;
        var age = space.Now - segment.MadeAt.ToUnixTimeSeconds();
        var recent = new SegmentUse(Math.Min(guaranteed, space.Now - (age / KeptPart)));
        var promised = new SegmentUse(guaranteed);
        foreach (var placed in segment.Records())
        {
            if (placed.Record.What != RecordKind.Removed && space.IsCurrent(placed, segment, out var entry))
            {
                recent.Add(placed.Record, entry);
                promised.Add(placed.Record, entry);
            }
        }

        var use = recent.Bytes > segment.Length * MostCopied ? promised : recent;
        // Nothing to gain: copying all of it would only move it, and with a full disk not even that.
        if (use.Bytes < (segment.Length - Segment.HeaderSize) * 0.9 || use.HasUnusedLarge)
        {
            await RewriteAsync(segment, use.Since, cancellationToken);
        }
    }

    /// <summary>Copies what was used since then (null: all that is alive) to the end of the log, forgets the rest, and drops the segment.</summary>
    private async Task RewriteAsync(Segment segment, long? usedSince, CancellationToken cancellationToken)
    {
        if (!segment.TryPin())
        {
            return;
        }

        try
        {
            var isOldest = space.Segments[0] == segment;
            foreach (var placed in segment.Records())
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (placed.Record.What == RecordKind.Removed)
                {
                    // Whether an older segment still has what this takes away is not known: only the oldest one's are done with.
                    if (!isOldest)
                    {
                        await space.Writer.AppendAsync(placed.Record, default);
                    }
                }
                else if (space.IsCurrent(placed, segment, out var entry))
                {
                    if (usedSince is { } since && space.Index.RemoveUnused(placed.Record.Key, entry, since, out var removed))
                    {
                        space.Release(removed);
                    }
                    else
                    {
                        await CopyAsync(segment, placed, entry, cancellationToken);
                    }
                }
            }

            // The copies before the original goes: with power loss in between there are both, never neither.
            await space.SyncAsync(cancellationToken);
            space.RemoveSegment(segment);
        }
        finally
        {
            segment.Unpin();
        }
    }

    private async Task CopyAsync(Segment segment, PlacedRecord placed, IndexEntry entry, CancellationToken cancellationToken)
    {
        var bytes = ArrayPool<byte>.Shared.Rent(placed.Record.StoredLength);
        try
        {
            var payload = bytes.AsMemory(0, placed.Record.StoredLength);
            if (!segment.TryRead(placed.Offset, placed.Record.Key, payload))
            {
                space.Forget(placed.Record.Key, entry, "its bytes do not have the checksum they were written with");
                return;
            }

            cancellationToken.ThrowIfCancellationRequested();
            // The last use goes into the log with it, so that it survives a crash.
            await space.Writer.AppendAsync(
                placed.Record with { LastUsed = entry.LastUsed, PayloadCrc = Crc32C.Of(payload.Span) }, payload, placed.Large, entry);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>What of a segment was used since a moment (seconds since 1970).</summary>
    private struct SegmentUse(long since)
    {
        public readonly long Since => since;

        /// <summary>Bytes of the records that would be copied.</summary>
        public long Bytes { get; private set; }

        /// <summary>A file of its own would be given back, however little its record takes.</summary>
        public bool HasUnusedLarge { get; private set; }

        public void Add(in Record record, in IndexEntry entry)
        {
            if (entry.LastUsed >= since)
            {
                Bytes += record.Size;
            }
            else if (record.What == RecordKind.Large)
            {
                HasUnusedLarge = true;
            }
        }
    }
}
