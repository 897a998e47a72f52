using System.Collections.Concurrent;

namespace Slipway.Content;

/// <summary>
/// Copies to the bucket what is only here, space by space and in the order of each space's log, and tells the others.
/// <code>
///   something was written ─► ShipAfter ─► fsync ─► large files and segments up to there ─► HEAD ─► entry of our log ─► catalog
/// </code>
/// A prefix of a space's log holds everything that anything in it refers to, so whatever the others see is complete. What fails is tried
/// again with the next tick: where to go on is in the catalog, so a restart loses no work but that of the uploads under way.
/// </summary>
internal sealed class Shipper(
    SegmentStore store, TieredVolume volume, IObjectStorage storage, TierNames names, TierPublisher publisher, TierTimings timings, TimeProvider time, Action<string> report)
{
    /// <summary>Uploads at once: with 64 MiB each, four fill 1 Gbit/s over 200 ms of latency.</summary>
    private const int MaxUploads = 4;

    /// <summary>Segments told of at once: at most half a gigabyte is sent again after a crash.</summary>
    private const int BatchSegments = 8;

    private readonly TierCatalog catalog = volume.Catalog;
    private readonly ConcurrentDictionary<Guid, SpaceState> states = new();
    private readonly SemaphoreSlim uploads = new(MaxUploads);
    private string? lastProblem;

    /// <summary>Why the last attempt failed; null when it didn't.</summary>
    public string? Problem => Volatile.Read(ref lastProblem);

    /// <summary>Since when something acknowledged is not in the bucket; null: nothing is.</summary>
    public DateTimeOffset? WaitingSince
    {
        get
        {
            var since = states.Values.Min(state => state.DirtySince);
            return since;
        }
    }

    /// <summary>Looks at every space and begins to ship what is due. Returns without waiting for that.</summary>
    /// <param name="everything">Also what is not due yet.</param>
    public void Tick(bool everything, CancellationToken cancellationToken)
    {
        foreach (var space in store.Spaces)
        {
            var state = states.GetOrAdd(space.Owner, static _ => new SpaceState());
            if (state.ShippedAs != catalog.Self)
            {
                state.Shipped = -1;
            }

            if (space.Sync.Written != state.Shipped)
            {
                state.DirtySince ??= time.GetUtcNow();
            }

            var isDue = state.DirtySince is { } since && (everything || time.GetUtcNow() - since >= timings.ShipAfter);
            if ((isDue || HasGivenUp(space.Owner)) && state.Running.IsCompleted)
            {
                state.Running = Task.Run(() => TryAsync(() => ShipAsync(space, state, cancellationToken)), CancellationToken.None);
            }
        }
    }

    /// <summary>Waits for what is being shipped.</summary>
    public Task WaitAsync() => Task.WhenAll(states.Values.Select(state => state.Running));

    /// <summary>Tells of spaces that were dropped, and of what was given up in them.</summary>
    public async Task TellOfDroppedAsync(CancellationToken cancellationToken)
    {
        var living = store.Spaces.Select(space => space.Owner).ToHashSet();
        var dropped = catalog.Dropped.Where(space => !space.Value).Select(space => space.Key).ToList();
        foreach (var space in states.Keys.Where(space => !living.Contains(space)))
        {
            if (states.TryRemove(space, out var state))
            {
                await state.Running;
            }
        }

        var removed = GivenUp(space => !living.Contains(space));
        if (dropped.Count > 0 || removed.Count > 0)
        {
            await publisher.PublishAsync(catalog.Self, [], [], removed, dropped, null, cancellationToken);
        }
    }

    private bool HasGivenUp(Guid space) =>
        catalog.GivenUpSegments.Any(segment => segment.Space == space) || catalog.GivenUpFiles.Any(file => file.Space == space);

    private List<TierRemoval> GivenUp(Func<Guid, bool> of) =>
    [
        .. catalog.GivenUpSegments.Where(segment => of(segment.Space)).Select(segment => new TierRemoval(segment.Server, segment.Space, segment.Number, null)),
        .. catalog.GivenUpFiles.Where(file => of(file.Space)).Select(file => new TierRemoval(file.Server, file.Space, null, file.Number)),
    ];

    private async Task TryAsync(Func<Task> action)
    {
        try
        {
            await action();
            lastProblem = null;
        }
        catch (OperationCanceledException)
        {
        }
        catch (Exception e) when (e is ObjectStorageException or IOException or UnauthorizedAccessException or ContentStoreException or ObjectDisposedException)
        {
            // Once, not every second for as long as it lasts.
            if (Interlocked.Exchange(ref lastProblem, e.Message) != e.Message)
            {
                report($"What is only on this machine could not be shipped: {e.Message}");
            }
        }
    }

    private async Task ShipAsync(ContentSpace space, SpaceState state, CancellationToken cancellationToken)
    {
        var self = catalog.Self;
        // Noted before the log is looked at: what was copied out of these lies in it by now.
        var removed = GivenUp(owner => owner == space.Owner);
        if (space.Segments.LastOrDefault(segment => !segment.IsForeign) is { IsSealed: false } open && open.Length >= timings.CloseFrom)
        {
            await space.Writer.SealAsync(cancellationToken);
        }

        var written = space.Sync.Written;
        var due = space.Segments.Where(segment => !segment.IsForeign && segment.Length > Segment.HeaderSize)
            .Select(segment => (Segment: segment, segment.Length))
            .Where(item => catalog.Segment(item.Segment.Number) is not { } there || there.Length < item.Length)
            .ToList();
        // What the others are told of must not be undone here by a power cut.
        await space.SyncAsync(cancellationToken);
        foreach (var batch in due.Chunk(BatchSegments))
        {
            if (!await ShipBatchAsync(space, self, batch, cancellationToken))
            {
                // Under a new name everything is to be shipped anew, from the next tick on.
                return;
            }
        }

        if (removed.Count > 0 && !await publisher.PublishAsync(self, [], [], removed, [], null, cancellationToken))
        {
            return;
        }

        state.Shipped = written;
        state.ShippedAs = self;
        state.DirtySince = space.Sync.Written == written ? null : time.GetUtcNow();
    }

    private async Task<bool> ShipBatchAsync(ContentSpace space, Guid self, (Segment Segment, long Length)[] batch, CancellationToken cancellationToken)
    {
        List<string> begun = [];
        List<Segment> pinned = [];
        try
        {
            List<Task<TierSegment>> segments = [];
            List<Task<TierFile>> files = [];
            foreach (var (segment, length) in batch)
            {
                if (!segment.TryPin())
                {
                    continue;
                }

                pinned.Add(segment);
                Begin(segment.Name);
                var records = new List<PlacedRecord>();
                var end = segment.Scan(Segment.HeaderSize, length, checkPayloads: false, records.Add, static _ => { });
                if (end != length)
                {
                    report($"The segment {segment.Name} has {end} sound bytes of {length}; the rest is not shipped.");
                    if (end <= Segment.HeaderSize)
                    {
                        continue;
                    }
                }

                var from = catalog.Segment(segment.Number)?.Length ?? 0;
                foreach (var large in records.Where(placed => placed.Offset >= from && placed.Record.What == RecordKind.Large).Select(placed => placed.Large))
                {
                    var name = LargeFile.NameOf(large.Number);
                    if (catalog.File(large.Number) is null && volume.Disk.Exists(name) && !begun.Contains(name))
                    {
                        Begin(name);
                        files.Add(ShipFileAsync(self, space.Owner, large.Number, name, cancellationToken));
                    }
                }

                segments.Add(ShipSegmentAsync(self, segment, end, SegmentFooter.Encode(records, segment.Number, end), cancellationToken));
            }

            await Task.WhenAll([.. segments, .. files]);
            if (segments.Count == 0)
            {
                return true;
            }

            var told = await publisher.PublishAsync(
                self, [.. segments.Select(task => task.Result)], [.. files.Select(task => task.Result).Where(file => file.Bytes >= 0)], [], [], null, cancellationToken);
            if (told)
            {
                NoteDeleted(begun);
            }

            return told;
        }
        finally
        {
            foreach (var name in begun)
            {
                volume.EndShipping(name);
            }

            foreach (var segment in pinned)
            {
                segment.Unpin();
            }
        }

        void Begin(string name)
        {
            volume.BeginShipping(name);
            begun.Add(name);
        }
    }

    // The engine may have deleted them while they were on their way; the catalog knew nothing of them then.
    private void NoteDeleted(List<string> names)
    {
        List<CatalogLine> lines = [];
        foreach (var name in names.Where(volume.EndShipping))
        {
            lines.Add(TieredVolume.SegmentNumber(name) is { } segment
                ? new CatalogLine(CatalogChange.GiveUpSegment) { Local = segment }
                : new CatalogLine(CatalogChange.GiveUpFile) { Local = TieredVolume.FileNumber(name) });
        }

        catalog.Append(lines);
    }

    private async Task<TierSegment> ShipSegmentAsync(Guid self, Segment segment, long length, byte[] footer, CancellationToken cancellationToken)
    {
        var file = segment.File();
        var content = new ObjectContent(length + footer.Length, (buffer, offset, token) =>
        {
            if (offset < length)
            {
                return file.ReadAsync(buffer[..(int)Math.Min(buffer.Length, length - offset)], offset, token);
            }

            var count = (int)Math.Min(buffer.Length, length + footer.Length - offset);
            footer.AsSpan((int)(offset - length), count).CopyTo(buffer.Span);
            return new(count);
        });
        await UploadAsync(names.Segment(self, segment.Owner, segment.Number, length), content, cancellationToken);
        return new TierSegment(segment.Owner, segment.Number, segment.MadeAt, length, content.Length);
    }

    /// <returns>With -1 bytes when it was deleted before it was read: what named it has a successor further on in the log.</returns>
    private async Task<TierFile> ShipFileAsync(Guid self, Guid space, long number, string name, CancellationToken cancellationToken)
    {
        try
        {
            using var file = volume.Disk.Open(name, forWriting: false);
            await UploadAsync(names.File(self, space, number), new ObjectContent(file.Length, file.ReadAsync), cancellationToken);
            return new TierFile(space, number, file.Length);
        }
        catch (FileNotFoundException)
        {
            return new TierFile(space, number, -1);
        }
    }

    private async Task UploadAsync(string key, ObjectContent content, CancellationToken cancellationToken)
    {
        await uploads.WaitAsync(cancellationToken);
        try
        {
            await storage.WriteAsync(key, content, cancellationToken);
        }
        finally
        {
            uploads.Release();
        }
    }

    private sealed class SpaceState
    {
        /// <summary>How much had been written when all of it was in the bucket. Never, at first.</summary>
        public long Shipped { get; set; } = -1;

        public Guid ShippedAs { get; set; }

        public DateTimeOffset? DirtySince { get; set; }

        public Task Running { get; set; } = Task.CompletedTask;
    }
}
