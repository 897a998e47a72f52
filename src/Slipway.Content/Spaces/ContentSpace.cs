namespace Slipway.Content;

/// <summary>
/// One owner's part of a store: its own segments, index and ledger. Nothing is shared between spaces, so what is in one can't be
/// told from outside, and to drop one is to delete its files.
/// <code>
///   PutAsync ─► SpaceWriter (one at a time; what waits is written with it) ─► open segment ─► index     ─► caller
///   SyncAsync ─► SpaceSync (one at a time; who waits is answered with it) ─► fsync of what is dirty    ─► caller
///   ReadAsync ─► index ─► segment (one preadv, checked)            full ─► SpaceEviction: oldest segments, what is in use moves on
/// </code>
/// A blob of less than 1 MiB lies in a segment, any other in a file of its own; both are named only by the log and the index.
/// </summary>
public sealed class ContentSpace
{
    /// <summary>The largest blob, stored or not, that lies in a segment. Larger ones go through <see cref="BeginLarge"/>.</summary>
    public const int MaxSmall = IndexEntry.MaxSmall;

    /// <summary>1 TiB less one byte: what an index slot can tell.</summary>
    public const long MaxLength = IndexEntry.MaxLength;

    private readonly SegmentStore store;
    private readonly IVolume volume;
    private readonly TimeProvider time;
    private readonly BlobIndex index = new();
    private readonly SpaceWriter writer;
    private readonly SpaceSync sync;
    private readonly SpaceEviction eviction;

    // Oldest first. Replaced under segmentsLock; the last one may be open.
    private readonly Lock segmentsLock = new();
    private readonly List<Segment> segments = [];
    private readonly SemaphoreSlim checkpointing = new(1);
    private long segmentBytes;
    private long largeBytes;
    private long largeFiles;
    private long unfinishedBytes;
    private long lastLoss;
    private long changes;
    private long checkpointedAt;
    private bool touched;
    private volatile bool isDropped;

    internal ContentSpace(SegmentStore store, IVolume volume, Guid owner, TimeProvider time)
    {
        this.store = store;
        this.volume = volume;
        this.time = time;
        Owner = owner;
        sync = new SpaceSync(volume, store.RunSync);
        writer = new SpaceWriter(this, sync);
        eviction = new SpaceEviction(this);
        lastLoss = Now;
    }

    public Guid Owner { get; }

    /// <summary>
    /// What was put or touched within this time is never evicted: a client may rely for so long on being told that a blob is here.
    /// An hour is longer than builds hold on to an answer.
    /// </summary>
    public TimeSpan MinimumAge { get; set; } = TimeSpan.FromHours(1);

    /// <summary>Most bytes on the disk, or null: then nothing is ever evicted.</summary>
    public long? Quota { get; set; }

    /// <summary>What was not used for so long is evicted even when there is room; null keeps it.</summary>
    public TimeSpan? Retention { get; set; }

    /// <summary>When something last vanished other than by eviction (rot, removal), or the store was opened.</summary>
    public DateTimeOffset LastLossAt => DateTimeOffset.FromUnixTimeSeconds(Volatile.Read(ref lastLoss));

    public SpaceUsage Usage
    {
        get
        {
            lock (segmentsLock)
            {
                return new SpaceUsage(index.Count, StoredBytes, segments.Sum(segment => segment.Live) + Volatile.Read(ref largeBytes), segments.Count, Volatile.Read(ref largeFiles));
            }
        }
    }

    /// <summary>Eviction goes by segments: a quota should be at least 16 of them, so that a step is no more than 6 % of it.</summary>
    internal long MaxSegmentBytes => Quota is { } quota ? Math.Min(store.SegmentBytes, Math.Max(1 << 20, quota / 16)) : store.SegmentBytes;

    /// <summary>Bytes of the large files one segment names, for the same reason. Without a quota 1 GiB: what is rewritten or shipped at a time.</summary>
    internal long MaxReferredBytes => Quota is { } quota ? Math.Max(1 << 20, quota / 16) : 1L << 30;

    internal BlobIndex Index => index;

    internal SpaceWriter Writer => writer;

    internal long Now => time.GetUtcNow().ToUnixTimeSeconds();

    internal long StoredBytes => Volatile.Read(ref segmentBytes) + Volatile.Read(ref largeBytes) + Volatile.Read(ref unfinishedBytes);

    internal bool IsDropped => isDropped;

    internal IReadOnlyList<Segment> Segments
    {
        get
        {
            lock (segmentsLock)
            {
                return [.. segments];
            }
        }
    }

    /// <summary>Looks a blob up, without I/O and without renewing its last use. False while the store is being loaded.</summary>
    public bool TryFind(in BlobKey key, out BlobInfo info)
    {
        if (index.TryGet(key, out var entry))
        {
            info = new BlobInfo(key, entry);
            return true;
        }

        info = default;
        return false;
    }

    /// <summary>Whether a blob of that length is here. Renews its last use (in memory), so that it stays for <see cref="MinimumAge"/>.</summary>
    public bool Touch(in BlobKey key, long length)
    {
        touched = true;
        return index.Touch(key, length, Now);
    }

    /// <summary>
    /// Reads the stored form of a small blob, all of it. Completes synchronously when the bytes are on this machine.
    /// </summary>
    /// <param name="destination">Exactly <see cref="BlobInfo.StoredLength"/> bytes.</param>
    /// <returns>False when it was evicted since, or has rotted: then it is forgotten, and the next upload heals it.</returns>
    /// <exception cref="ContentStoreException"><see cref="ContentFailure.Unavailable"/>: the disk reports errors. Not a miss.</exception>
    public ValueTask<bool> ReadAsync(BlobInfo info, Memory<byte> destination, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (info.IsLarge || destination.Length != info.StoredLength)
        {
            throw new ArgumentException("A small blob is read whole, into exactly its stored length.", nameof(destination));
        }

        // A blob that is moved on by eviction while we look is found at its new place: once more is enough, as it is in use then.
        for (var attempt = 0; attempt < 3; attempt++)
        {
            if (store.Find(info.Entry.Segment) is { } segment && segment.Owner == Owner && segment.TryPin())
            {
                try
                {
                    if (!segment.File().IsLocal)
                    {
                        segment.TryPin();
                        return ReadFromAfarAsync(segment, info, destination, cancellationToken);
                    }

                    if (segment.TryRead(info.Entry.Offset, info.Key, destination))
                    {
                        return ValueTask.FromResult(true);
                    }

                    if (index.TryGet(info.Key, out var now) && now.IsSamePlace(info.Entry))
                    {
                        Forget(info.Key, info.Entry, "its bytes do not have the checksum they were written with");
                        return ValueTask.FromResult(false);
                    }
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                {
                    throw DiskFailure.Translate(exception, $"The blob {info.Key} can't be read");
                }
                finally
                {
                    segment.Unpin();
                }
            }

            if (!index.TryGet(info.Key, out var moved) || moved.IsLarge || moved.StoredLength != destination.Length)
            {
                break;
            }

            info = new BlobInfo(info.Key, moved);
        }

        return ValueTask.FromResult(false);
    }

    /// <summary>Opens the stored form of a blob of any size for ranged reads; null when it was evicted since.</summary>
    /// <remarks>The reader stays valid whatever happens to the blob. Ranges of a small blob are not checked; <see cref="ReadAsync"/> is.</remarks>
    public ValueTask<IContentReader?> OpenAsync(BlobInfo info, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            for (var attempt = 0; attempt < 3; attempt++)
            {
                if (info.IsLarge)
                {
                    var name = LargeFile.NameOf(info.Entry.FileNumber);
                    try
                    {
                        return ValueTask.FromResult<IContentReader?>(new LargeReader(volume.Open(name, forWriting: false)));
                    }
                    catch (FileNotFoundException)
                    {
                        // Somebody deleted it under us. As long as we said that it is here, nobody would upload it again.
                        if (index.TryGet(info.Key, out var now) && now.IsSamePlace(info.Entry))
                        {
                            Forget(info.Key, info.Entry, $"its file {name} is gone");
                        }
                    }
                }
                else if (store.Find(info.Entry.Segment) is { } segment && segment.Owner == Owner && segment.TryPin())
                {
                    return ValueTask.FromResult<IContentReader?>(new SmallReader(segment, info.Entry.Offset + Record.HeaderSize, info.StoredLength));
                }

                if (!index.TryGet(info.Key, out var moved))
                {
                    break;
                }

                info = new BlobInfo(info.Key, moved);
            }

            return ValueTask.FromResult<IContentReader?>(null);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, $"The blob {info.Key} can't be opened");
        }
    }

    /// <summary>
    /// Stores a small blob. The caller has verified that the bytes are those of the key. A content-addressed blob that is here
    /// already is not written again.
    /// </summary>
    /// <param name="stored">At most <see cref="MaxSmall"/> bytes; must not change before the call has completed.</param>
    /// <param name="length">Uncompressed.</param>
    /// <exception cref="ContentStoreException"><see cref="ContentFailure.StoreFull"/>, <see cref="ContentFailure.QuotaExhausted"/>, <see cref="ContentFailure.Unavailable"/>.</exception>
    public ValueTask PutAsync(BlobKey key, ReadOnlyMemory<byte> stored, BlobCodec codec, int length, Durability durability, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(stored.Length, MaxSmall, nameof(stored));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxSmall);
        cancellationToken.ThrowIfCancellationRequested();
        var size = Record.SizeOf(stored.Length);
        if (!store.IsLoaded || !HasRoomFor(size))
        {
            return PutWithRoomAsync(key, stored, codec, length, durability, cancellationToken);
        }

        var written = AppendAsync(key, stored, codec, length);
        return durability == Durability.Written ? written : SyncedAsync(written, cancellationToken);
    }

    /// <summary>Begins a blob that is a file of its own. With a <paramref name="resumeName"/> its bytes outlive the upload until it is begun again.</summary>
    public LargeUpload BeginLarge(string? resumeName)
    {
        ObjectDisposedException.ThrowIf(isDropped, this);
        try
        {
            return new LargeUpload(this, volume, store.NextUploadName(Owner, resumeName), keep: resumeName is not null);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, "The upload can't be started");
        }
    }

    /// <summary>Takes a blob away. True when it was here.</summary>
    public bool Remove(in BlobKey key)
    {
        if (!index.Remove(key, place: null, out var removed))
        {
            return false;
        }

        Removed(key, removed);
        return true;
    }

    /// <summary>Takes a blob away unless it was put or touched at or after a moment.</summary>
    public bool RemoveUnused(in BlobKey key, DateTimeOffset usedBefore)
    {
        // The index knows seconds: what was used in the second that is under way may have been used after the moment.
        if (!index.TryGet(key, out var entry) || !index.RemoveUnused(key, entry, usedBefore.ToUnixTimeSeconds(), out var removed))
        {
            return false;
        }

        Removed(key, removed);
        return true;
    }

    /// <summary>Returns when everything that was put into this space before the call survives power loss. Callers at the same time share a sync.</summary>
    public ValueTask SyncAsync(CancellationToken cancellationToken) => sync.UntilNowAsync(cancellationToken);

    /// <summary>Every blob, in the order of the log, with its stored length and last use. Blobs put meanwhile may be left out.</summary>
    public IEnumerable<StoredBlob> List()
    {
        foreach (var segment in Segments)
        {
            if (!segment.TryPin())
            {
                continue;
            }

            try
            {
                foreach (var placed in segment.Records())
                {
                    if (placed.Record.What != RecordKind.Removed && IsCurrent(placed, segment, out var entry))
                    {
                        yield return new StoredBlob(
                            new BlobInfo(placed.Record.Key, entry), entry.IsLarge ? placed.Large.StoredLength : entry.StoredLength);
                    }
                }
            }
            finally
            {
                segment.Unpin();
            }
        }
    }

    /// <summary>Whether the index still points at this record: it is the blob, not what an earlier put or copy has left.</summary>
    internal bool IsCurrent(in PlacedRecord placed, Segment segment, out IndexEntry entry) =>
        index.TryGet(placed.Record.Key, out entry) && entry.IsSamePlace(placed.EntryIn(segment.Number));

    internal bool HasRoomFor(long bytes) => !IsOverQuotaWith(bytes) && store.HasRoomFor(bytes) && !store.IsIndexFullFor(this);

    /// <summary>Bytes on the disk of uploads that are not committed (yet).</summary>
    internal void CountUnfinished(long bytes) => Interlocked.Add(ref unfinishedBytes, bytes);

    internal bool IsOverQuotaWith(long bytes) => Quota is { } quota && StoredBytes + bytes > quota;

    internal async ValueTask MakeRoomAsync(long bytes, CancellationToken cancellationToken)
    {
        await store.Loaded.WaitAsync(cancellationToken);
        ObjectDisposedException.ThrowIf(isDropped, this);
        store.ThrowUnlessRoomFor(bytes);
        store.ThrowIfIndexFullFor(this);
        if (IsOverQuotaWith(bytes))
        {
            store.Unfinished.MakeRoom(this, () => IsOverQuotaWith(bytes));
        }

        if (IsOverQuotaWith(bytes))
        {
            await eviction.MakeRoomAsync(bytes, cancellationToken);
        }
    }

    /// <summary>A new record is in the log: points the index at it and lets go of what it replaces. Called by the writer.</summary>
    internal void Publish(in Record record, Segment segment, long offset, in LargeFile large)
    {
        Interlocked.Increment(ref changes);
        if (record.What == RecordKind.Removed)
        {
            return;
        }

        segment.AddLive(record.Size);
        var entry = new PlacedRecord(record, offset, large).EntryIn(segment.Number);
        if (record.What == RecordKind.Large)
        {
            Interlocked.Add(ref largeBytes, large.StoredLength);
            Interlocked.Increment(ref largeFiles);
        }

        if (index.Put(record.Key, entry, out var previous))
        {
            Release(previous);
        }
    }

    /// <summary>
    /// Points the index at a record of another server's segment. A blob of our own stays, as does what was written later; what lies in
    /// another segment of the same server moves, as that server has copied it.
    /// </summary>
    internal void Adopt(in PlacedRecord placed, Segment segment, Func<IndexEntry, bool> isOfSameServer)
    {
        if (index.TryGet(placed.Record.Key, out var here))
        {
            var isNews = placed.Record.Key.IsContentAddressed ? isOfSameServer(here) : isOfSameServer(here) || placed.Record.LastUsed > here.LastUsed;
            if (!isNews || here.IsSamePlace(placed.EntryIn(segment.Number)))
            {
                return;
            }
        }

        // The last use of an action says when all that it refers to was last seen, which is true of the other server. Here it is looked at again.
        var lastUsed = placed.Record.Key.IsContentAddressed
            ? Math.Max(placed.Record.LastUsed, here.LastUsed)
            : Math.Min(placed.Record.LastUsed, Now - (long)MinimumAge.TotalSeconds);
        Publish(placed.Record with { LastUsed = lastUsed }, segment, placed.Offset, placed.Large);
    }

    /// <summary>Another server took a blob away: so do we, if what we have is that server's.</summary>
    internal void AdoptRemoval(in BlobKey key, Func<IndexEntry, bool> isOfSameServer)
    {
        if (index.TryGet(key, out var here) && isOfSameServer(here) && index.Remove(key, here, out var removed))
        {
            Release(removed);
            NoteLoss();
        }
    }

    internal void AddSegment(Segment segment)
    {
        lock (segmentsLock)
        {
            segments.Add(segment);
        }

        Interlocked.Add(ref segmentBytes, segment.Length);
    }

    internal void AddSegmentBytes(long bytes) => Interlocked.Add(ref segmentBytes, bytes);

    internal void AddLarge(long bytes)
    {
        Interlocked.Add(ref largeBytes, bytes);
        Interlocked.Increment(ref largeFiles);
    }

    internal void RemoveSegment(Segment segment)
    {
        lock (segmentsLock)
        {
            if (!segments.Remove(segment))
            {
                return;
            }
        }

        Interlocked.Add(ref segmentBytes, -segment.Length);
        store.Forget(segment);
        segment.Unpin();
    }

    /// <summary>An entry has left the index: its bytes are garbage from now on.</summary>
    internal void Release(in IndexEntry entry)
    {
        if (!entry.IsLarge)
        {
            store.Find(entry.Segment)?.AddLive(-Record.SizeOf(entry.StoredLength));
            return;
        }

        var name = LargeFile.NameOf(entry.FileNumber);
        try
        {
            long bytes;
            using (var file = volume.Open(name, forWriting: false))
            {
                bytes = file.Length;
            }

            // Who has it open goes on reading.
            volume.Delete(name);
            Interlocked.Add(ref largeBytes, -bytes);
            Interlocked.Decrement(ref largeFiles);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The next opening of the store deletes what nothing refers to.
            store.Report(this, $"The file {name} could not be deleted: {exception.Message}");
        }
    }

    /// <summary>Bytes have rotted: they are not served again, and what relied on them is looked at again.</summary>
    internal void Forget(in BlobKey key, in IndexEntry entry, string why)
    {
        if (!index.Remove(key, entry, out var removed))
        {
            return;
        }

        NoteLoss();
        if (removed.IsLarge)
        {
            var name = LargeFile.NameOf(removed.FileNumber);
            Interlocked.Add(ref largeBytes, -BytesOf(name, removed));
            Interlocked.Decrement(ref largeFiles);
            store.Quarantine(name);
        }
        else
        {
            store.Find(removed.Segment)?.AddLive(-Record.SizeOf(removed.StoredLength));
        }

        writer.AppendRemoval(key);
        store.Report(this, $"The blob {key} is quarantined: {why}. It is missing until it is uploaded again.");
    }

    // What a file took that may be gone. A compressed one that is, stays in the ledger until the next start counts the files.
    private long BytesOf(string name, in IndexEntry entry)
    {
        try
        {
            using var file = volume.Open(name, forWriting: false);
            return file.Length;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return entry.Codec == BlobCodec.Raw ? entry.Length : 0;
        }
    }

    internal void NoteLoss() => Volatile.Write(ref lastLoss, Now);

    internal Segment NewSegment() => store.NewSegment(this);

    internal void Sealed(Segment segment) => store.Sealed(segment);

    internal SpaceEviction Eviction => eviction;

    internal SpaceSync Sync => sync;

    internal SegmentStore Store => store;

    /// <summary>Whether enough has changed since the last checkpoint: an eighth of the blobs (or 20,000), or anything in 15 minutes.</summary>
    internal bool NeedsCheckpoint(bool onlyWhenDue)
    {
        var changed = Volatile.Read(ref changes);
        if (!onlyWhenDue || changed == 0)
        {
            return changed != 0 || touched;
        }

        return changed >= Math.Max(20_000, index.Count / 8) || Now - checkpointedAt >= 15 * 60;
    }

    internal void NoteReplayed(long records) => Volatile.Write(ref changes, records);

    /// <summary>Writes the index to the disk. One at a time: a draft is published by who has synced what is in it.</summary>
    internal async Task CheckpointAsync()
    {
        await checkpointing.WaitAsync();
        try
        {
            await CheckpointAloneAsync();
        }
        finally
        {
            checkpointing.Release();
        }
    }

    private async Task CheckpointAloneAsync()
    {
        var before = Volatile.Read(ref changes);
        touched = false;
        checkpointedAt = Now;
        // How far it goes is noted first: what is put while the slots are copied is in both, and replaying it again changes nothing.
        var covered = Segments.Select(segment => new CoveredSegment(segment.Number, segment.Length, segment.MadeAt, segment.IsSealed)).ToList();
        var checkpoint = new Checkpoint(Owner, store.NextSegmentNumber, store.LastFileNumber, covered);
        await Task.Run(() => checkpoint.Draft(volume, index));
        // What it says is here must be here after power loss too; so all that was in the index while it was copied is synced before it counts.
        await sync.UntilNowAsync(CancellationToken.None);
        checkpoint.Publish(volume);
        Interlocked.Add(ref changes, -before);
    }

    /// <summary>Deletes everything. Readers that have something open keep it.</summary>
    internal void Drop()
    {
        isDropped = true;
        writer.Stop();
        index.RetainWhere(entry =>
        {
            if (entry.IsLarge)
            {
                volume.Delete(LargeFile.NameOf(entry.FileNumber));
            }

            return false;
        });
        foreach (var segment in Segments)
        {
            RemoveSegment(segment);
        }

        store.Unfinished.Drop(this);
        index.Dispose();
    }

    private void Removed(in BlobKey key, in IndexEntry entry)
    {
        Release(entry);
        NoteLoss();
        writer.AppendRemoval(key);
    }

    // The caller has pinned the segment for us.
    private async ValueTask<bool> ReadFromAfarAsync(Segment segment, BlobInfo info, Memory<byte> destination, CancellationToken cancellationToken)
    {
        try
        {
            if (await segment.TryReadAsync(info.Entry.Offset, info.Key, destination, cancellationToken))
            {
                return true;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, $"The blob {info.Key} can't be read");
        }
        finally
        {
            segment.Unpin();
        }

        if (!index.TryGet(info.Key, out var now))
        {
            return false;
        }

        if (!now.IsSamePlace(info.Entry))
        {
            return !now.IsLarge && now.StoredLength == destination.Length && await ReadAsync(new BlobInfo(info.Key, now), destination, cancellationToken);
        }

        Forget(info.Key, info.Entry, "its bytes in object storage are gone or do not have the checksum they were written with");
        return false;
    }

    private async ValueTask PutWithRoomAsync(BlobKey key, ReadOnlyMemory<byte> stored, BlobCodec codec, int length, Durability durability, CancellationToken cancellationToken)
    {
        await MakeRoomAsync(Record.SizeOf(stored.Length), cancellationToken);
        var written = AppendAsync(key, stored, codec, length);
        await (durability == Durability.Written ? written : SyncedAsync(written, cancellationToken));
    }

    private ValueTask AppendAsync(in BlobKey key, ReadOnlyMemory<byte> stored, BlobCodec codec, int length) =>
        writer.AppendAsync(new Record(RecordKind.Blob, key, codec, stored.Length, length, Now, Crc32C.Of(stored.Span)), stored);

    private async ValueTask SyncedAsync(ValueTask written, CancellationToken cancellationToken)
    {
        await written;
        await sync.UntilNowAsync(cancellationToken);
    }
}

/// <summary>A blob as a listing shows it.</summary>
public readonly record struct StoredBlob(BlobInfo Info, long StoredLength);
