namespace Slipway.Content;

/// <summary>
/// Learns what other servers have in the bucket and makes it part of this store: their segments' footers are fetched, their blobs are found
/// from then on, and their bytes are read from the bucket when somebody wants them.
/// <code>
///   one listing a round ─► a server's log has grown ─► its new entries (or a snapshot) ─► stubs ─► catalog ─► index
///   "removed"           ─► what is in use here is copied into segments of our own ─► forgotten
/// </code>
/// </summary>
internal sealed class Follower(
    SegmentStore store, TieredVolume volume, IObjectStorage storage, TierNames names, TierPublisher publisher, TierTimings timings, TimeProvider time, Action<string> report)
{
    /// <summary>Footers fetched at once. A footer of 64 MiB of small blobs is 5 MB.</summary>
    private const int MaxFetches = 8;

    /// <summary>Segments taken in at once, so that taking in a large store needs little memory and its first blobs are served early.</summary>
    private const int BatchSegments = 64;

    private readonly TierCatalog catalog = volume.Catalog;
    private readonly Dictionary<Guid, string> seen = [];
    private readonly Dictionary<Guid, (string Tag, DateTimeOffset At)> quiet = [];

    /// <summary>The other servers there are.</summary>
    public int Servers => seen.Count;

    /// <summary>One round.</summary>
    public async Task PollAsync(CancellationToken cancellationToken)
    {
        List<(Guid Server, StoredObject Object)> servers = [];
        await foreach (var found in storage.ListAsync(names.Servers, null, cancellationToken))
        {
            if (names.ServerOf(found.Key) is { } server && server != catalog.Self)
            {
                servers.Add((server, found));
            }
        }

        foreach (var (server, found) in servers)
        {
            if (!seen.TryGetValue(server, out var tag) || tag != found.Tag)
            {
                await FollowAsync(server, cancellationToken);
                seen[server] = found.Tag;
            }

            await TakeOverIfDeadAsync(server, found, cancellationToken);
        }
    }

    private async Task FollowAsync(Guid server, CancellationToken cancellationToken)
    {
        var state = await storage.GetAsync(names.Server(server), null, cancellationToken);
        if (state.Outcome != FetchOutcome.Found)
        {
            return;
        }

        var known = TierServer.Decode(state.Bytes, names.Server(server));
        if (catalog.Applied(server) < known.Snapshot)
        {
            await TakeSnapshotAsync(server, known.Snapshot, cancellationToken);
        }

        while (true)
        {
            var key = names.Log(server, catalog.Applied(server) + 1);
            var entry = await storage.GetAsync(key, null, cancellationToken);
            if (entry.Outcome != FetchOutcome.Found)
            {
                return;
            }

            var delta = TierDelta.Decode(entry.Bytes, key);
            await ApplyAsync(delta, cancellationToken);
            Applied(server, delta.Sequence);
        }
    }

    private async Task TakeSnapshotAsync(Guid server, long sequence, CancellationToken cancellationToken)
    {
        var key = names.Snapshot(server, sequence);
        var found = await storage.GetAsync(key, null, cancellationToken);
        if (found.Outcome != FetchOutcome.Found)
        {
            throw new ObjectStorageException(ObjectFailure.Refused, $"{key} is missing, so what server {server} has can't be known.");
        }

        var whole = TierSnapshot.Decode(found.Bytes, key);
        var segments = whole.Segments.Select(segment => segment.Number).ToHashSet();
        var files = whole.Files.Select(file => file.Number).ToHashSet();
        await ApplyAsync(
            new TierDelta(
                server, sequence, whole.At, whole.Segments, whole.Files,
                [
                    .. catalog.Segments.Where(segment => segment.Server == server && !segments.Contains(segment.Number))
                        .Select(segment => new TierRemoval(server, segment.Space, segment.Number, null)),
                    .. catalog.Files.Where(file => file.Server == server && !files.Contains(file.Number))
                        .Select(file => new TierRemoval(server, file.Space, null, file.Number)),
                ],
                whole.Dropped),
            cancellationToken);
        Applied(server, sequence);
    }

    // After all of it, so that whatever was interrupted is done again. Doing it twice changes nothing.
    private void Applied(Guid server, long sequence) =>
        catalog.Append([new CatalogLine(CatalogChange.Applied) { Server = server, Number = sequence }]);

    private async Task ApplyAsync(TierDelta delta, CancellationToken cancellationToken)
    {
        foreach (var space in delta.Dropped.Where(space => !catalog.IsDropped(space)))
        {
            catalog.Append([new CatalogLine(CatalogChange.Drop) { Space = space }]);
            await store.DropAsync(space, cancellationToken);
        }

        catalog.Append(
        [
            .. delta.Files.Where(file => !catalog.IsDropped(file.Space) && !IsOnItsWayOut(delta, file.Number))
                .Select(file => new CatalogFile(catalog.LocalFile(delta.Server, file.Number), delta.Server, file.Space, file.Number, file.Bytes))
                .Where(file => catalog.File(file.Local) is null)
                .Select(TierCatalog.LineOf),
        ]);
        var removed = delta.Removed.Where(removal => removal.Segment is not null && removal.Server == delta.Server).Select(removal => removal.Segment!.Value).ToHashSet();
        foreach (var batch in delta.Segments.Where(segment => !catalog.IsDropped(segment.Space) && !removed.Contains(segment.Number)).Chunk(BatchSegments))
        {
            await AdoptAsync(delta.Server, batch, cancellationToken);
        }

        foreach (var removal in delta.Removed)
        {
            await GiveUpAsync(removal, cancellationToken);
        }
    }

    private static bool IsOnItsWayOut(TierDelta delta, long file) => delta.Removed.Any(removal => removal.File == file && removal.Server == delta.Server);

    private async Task AdoptAsync(Guid server, IReadOnlyList<TierSegment> segments, CancellationToken cancellationToken)
    {
        var fetched = new (CatalogSegment Segment, long From, List<PlacedRecord> Records)?[segments.Count];
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = MaxFetches, CancellationToken = cancellationToken };
        await Parallel.ForAsync(0, segments.Count, parallel, async (i, token) => fetched[i] = await FetchAsync(server, segments[i], token));
        var taken = fetched.OfType<(CatalogSegment Segment, long From, List<PlacedRecord> Records)>().ToList();
        catalog.Append([.. taken.Select(item => TierCatalog.LineOf(item.Segment))]);
        List<(Segment Segment, ContentSpace Space, List<PlacedRecord> Records)> adopted = [];
        foreach (var (known, from, records) in taken)
        {
            var space = store.Space(known.Space);
            var segment = store.Find(known.Local);
            if (segment is null)
            {
                segment = new Segment(volume, known.Local, known.Space, DateTimeOffset.FromUnixTimeSeconds(known.MadeAt), known.Length, isSealed: true) { IsNameDurable = true };
                store.Add(segment);
                space.AddSegment(segment);
            }
            else
            {
                space.AddSegmentBytes(known.Length - segment.Length);
                segment.Grow(known.Length);
                volume.Disk.Delete(SegmentStub.NameOf(known.Local, from));
            }

            adopted.Add((segment, space, [.. records.Where(placed => placed.Offset >= from)]));
        }

        // What is addressed by content before what refers to it: a copy of it may stand further on than what refers to it.
        foreach (var isReferred in (bool[])[true, false])
        {
            foreach (var (segment, space, records) in adopted)
            {
                foreach (var placed in records.Where(placed => placed.Record.Key.IsContentAddressed == isReferred))
                {
                    Adopt(server, space, segment, placed);
                }
            }
        }
    }

    private void Adopt(Guid server, ContentSpace space, Segment segment, in PlacedRecord placed)
    {
        switch (placed.Record.What)
        {
            case RecordKind.Removed:
                space.AdoptRemoval(placed.Record.Key, IsOfServer);
                break;
            case RecordKind.Large when catalog.File(placed.Large.Number) is not { } file:
                // Replaced or evicted before it was shipped.
                break;
            case RecordKind.Large:
            case RecordKind.Blob:
                space.Adopt(placed, segment, IsOfServer);
                break;
        }

        bool IsOfServer(IndexEntry entry) => entry.IsLarge
            ? catalog.File(entry.FileNumber)?.Server == server
            : catalog.Segment(entry.Segment)?.Server == server;
    }

    /// <returns>The segment as it is known here, up to where it was known before, and its records; null when there is nothing new or it is gone.</returns>
    private async Task<(CatalogSegment, long, List<PlacedRecord>)?> FetchAsync(Guid server, TierSegment there, CancellationToken cancellationToken)
    {
        var known = catalog.SegmentOf(server, there.Number);
        if (known is not null && known.Length >= there.Length && store.Find(known.Local) is not null)
        {
            return null;
        }

        var key = names.Segment(server, there.Space, there.Number, there.Length);
        var footer = new byte[there.Bytes - there.Length];
        var read = await storage.ReadAsync(key, there.Length, footer, cancellationToken);
        if (read < 0)
        {
            // Has grown or was removed since: that stands further on in the log.
            return null;
        }

        var local = known?.Local ?? store.TakeSegmentNumber();
        var segment = new CatalogSegment(local, server, there.Space, there.Number, there.MadeAt.ToUnixTimeSeconds(), there.Length, there.Bytes);
        if (!SegmentStub.TryDecode(footer, there.Number, there.Bytes, number => catalog.LocalFile(server, number), out var records))
        {
            report($"{key} has no sound footer and is left out.");
            return null;
        }

        // A removal of theirs is done once, now. Read again at the next start it would take away what we have of our own.
        SegmentStub.Write(volume.Disk, segment, SegmentStub.Encode(segment, [.. records.Where(placed => placed.Record.What != RecordKind.Removed)]));
        // One that is noted but not in the store (its stub was lost) begins anew.
        return (segment, known is null || store.Find(local) is null ? 0 : known.Length, records);
    }

    private async Task GiveUpAsync(TierRemoval removal, CancellationToken cancellationToken)
    {
        if (removal.Segment is { } number)
        {
            if (catalog.SegmentOf(removal.Server, number) is not { } known)
            {
                return;
            }

            if (store.Find(known.Local) is not { } segment || catalog.IsDropped(known.Space))
            {
                catalog.Append([new CatalogLine(CatalogChange.ForgetSegment) { Local = known.Local }]);
                return;
            }

            var space = store.Space(known.Space);
            var usedSince = space.Now - (long)space.MinimumAge.TotalSeconds;
            foreach (var placed in segment.Records().Where(placed => placed.Record.What == RecordKind.Large))
            {
                await CopyLargeAsync(space, placed, usedSince, cancellationToken);
            }

            await space.Eviction.GiveUpAsync(segment, usedSince, cancellationToken);
            return;
        }

        foreach (var file in catalog.Files.Where(file => file.Server == removal.Server && file.Number == removal.File).ToList())
        {
            // Mostly forgotten by now, with the record that named it.
            catalog.Append([new CatalogLine(CatalogChange.ForgetFile) { Local = file.Local }]);
            if (!catalog.IsDropped(file.Space))
            {
                store.Space(file.Space).Index.RetainWhere(entry => !entry.IsLarge || entry.FileNumber != file.Local);
            }
        }
    }

    // A large blob in use becomes a file of our own: the record alone would go on naming theirs.
    private async Task CopyLargeAsync(ContentSpace space, PlacedRecord placed, long usedSince, CancellationToken cancellationToken)
    {
        if (!space.Index.TryGet(placed.Record.Key, out var entry) || !entry.IsLarge || entry.FileNumber != placed.Large.Number || entry.LastUsed < usedSince)
        {
            return;
        }

        var info = new BlobInfo(placed.Record.Key, entry);
        await using var reader = await space.OpenAsync(info, cancellationToken);
        if (reader is null)
        {
            return;
        }

        await using var upload = space.BeginLarge(resumeName: null);
        var buffer = new byte[RemoteBlocks.BlockBytes];
        for (long at = 0; at < reader.Length;)
        {
            var read = await reader.ReadAsync(buffer, at, cancellationToken);
            if (read == 0)
            {
                throw new IOException($"The blob {info.Key} of {reader.Length} bytes ended at {at}.");
            }

            await upload.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
            at += read;
        }

        await upload.CommitAsync(info.Key, info.Codec, info.Length, Durability.Written, cancellationToken);
    }

    // Its age by the storage's clock against ours would be wrong by their difference: what counts is how long it has been quiet while we looked.
    private async Task TakeOverIfDeadAsync(Guid server, StoredObject found, CancellationToken cancellationToken)
    {
        if (!quiet.TryGetValue(server, out var since) || since.Tag != $"{found.Tag} {found.WrittenAt:O}")
        {
            quiet[server] = ($"{found.Tag} {found.WrittenAt:O}", time.GetUtcNow());
            return;
        }

        if (catalog.Owns(server) || time.GetUtcNow() - since.At < timings.TakeOverAfter)
        {
            return;
        }

        // Closing its log first: if it lives after all, it finds that out before it can tell anybody anything else.
        var key = names.Log(server, catalog.Applied(server) + 1);
        var closing = new TierDelta(server, catalog.Applied(server) + 1, time.GetUtcNow(), [], [], [], [], ClosedBy: catalog.Self);
        try
        {
            await storage.PutAsync(key, ObjectContent.Of(closing.Encode()), PutCondition.IfAbsent, cancellationToken);
        }
        catch (ObjectStorageException e) when (e.Failure == ObjectFailure.Conflict)
        {
            var there = await storage.GetAsync(key, null, cancellationToken);
            if (there.Outcome != FetchOutcome.Found || TierDelta.Decode(there.Bytes, key).ClosedBy != catalog.Self)
            {
                // It lives, or somebody else was faster.
                seen.Remove(server);
                quiet.Remove(server);
                return;
            }
        }

        Applied(server, closing.Sequence);
        if (await publisher.PublishAsync(catalog.Self, [], [], [], [], server, cancellationToken))
        {
            report($"The server {server} has shown no life for {timings.TakeOverAfter}: this one sees to what it has in the bucket from now on.");
        }
    }
}
