using System.Security.Cryptography;

namespace Slipway.Content;

/// <summary>
/// Writes this server's log in the bucket, one entry after the other. An entry is created, never replaced: whoever finds its place taken has
/// been taken for dead by another server, or shares its folder with a copy of itself, and goes on under a new name.
/// </summary>
internal sealed class TierPublisher(TieredVolume volume, IObjectStorage storage, TierNames names, TierTimings timings, TimeProvider time, Action<string> report)
{
    private readonly SemaphoreSlim one = new(1);
    private readonly TierCatalog catalog = volume.Catalog;
    private long announced = -1;
    private long snapshot = -1;
    private DateTimeOffset announcedAt;
    private bool recovered;

    /// <summary>Reads what this server wrote to its log but didn't live to note, and deletes objects it wrote and never told of.</summary>
    public async Task RecoverAsync(CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            if (recovered)
            {
                return;
            }

            var self = await storage.GetAsync(names.Server(catalog.Self), null, cancellationToken);
            snapshot = self.Outcome == FetchOutcome.Found ? TierServer.Decode(self.Bytes, names.Server(catalog.Self)).Snapshot : 0;
            var key = names.Log(catalog.Self, catalog.Applied(catalog.Self) + 1);
            var entry = await storage.GetAsync(key, null, cancellationToken);
            if (entry.Outcome == FetchOutcome.Found)
            {
                var delta = TierDelta.Decode(entry.Bytes, key);
                if (HashOf(entry.Bytes) == catalog.Publishing)
                {
                    catalog.Append(LinesOf(delta));
                }
                else
                {
                    Rename(delta.ClosedBy);
                }
            }

            // From here on a copy of this server that still runs finds its place in the log taken.
            if (!await AppendAsync(Empty(), cancellationToken) && !await AppendAsync(Empty(), cancellationToken))
            {
                throw new ObjectStorageException(ObjectFailure.Unavailable, "Another server appends to this one's log.");
            }

            await DeleteStraysAsync(cancellationToken);
            await storage.AbandonPartsAsync(names.Objects(catalog.Self), time.GetUtcNow(), cancellationToken);
            recovered = true;
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Tells the others. When it returns, the entry is in the bucket and noted in the catalog.</summary>
    /// <returns>False: this server has a new name, and nothing was told. What was shipped under the old one has to be shipped again.</returns>
    public async Task<bool> PublishAsync(
        Guid self, IReadOnlyList<TierSegment> segments, IReadOnlyList<TierFile> files, IReadOnlyList<TierRemoval> removed, IReadOnlyList<Guid> dropped, Guid? takesOver, CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            if (self != catalog.Self)
            {
                return false;
            }

            var delta = Empty() with { Segments = segments, Files = files, Removed = removed, Dropped = dropped, TakesOver = takesOver };
            return await AppendAsync(delta, cancellationToken);
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Shows that this server lives and how far its log goes, when there is news or it is time to.</summary>
    public async Task ShowLifeAsync(CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            if (announced != catalog.Applied(catalog.Self) || time.GetUtcNow() - announcedAt >= timings.ShowLife)
            {
                await AnnounceAsync(cancellationToken);
            }
        }
        finally
        {
            one.Release();
        }
    }

    private TierDelta Empty() => new(catalog.Self, catalog.Applied(catalog.Self) + 1, time.GetUtcNow(), [], [], [], []);

    private async Task<bool> AppendAsync(TierDelta delta, CancellationToken cancellationToken)
    {
        var key = names.Log(delta.Server, delta.Sequence);
        var bytes = delta.Encode();
        catalog.Append([new CatalogLine(CatalogChange.Publishing) { Key = HashOf(bytes) }]);
        try
        {
            await storage.PutAsync(key, ObjectContent.Of(bytes), PutCondition.IfAbsent, cancellationToken);
        }
        catch (ObjectStorageException e) when (e.Failure == ObjectFailure.Conflict)
        {
            // Perhaps our own earlier attempt, whose answer was lost.
            var there = await storage.GetAsync(key, null, cancellationToken);
            if (there.Outcome != FetchOutcome.Found || HashOf(there.Bytes) != catalog.Publishing)
            {
                Rename(there.Outcome == FetchOutcome.Found ? TierDelta.Decode(there.Bytes, key).ClosedBy : null);
                return false;
            }
        }

        catalog.Append(LinesOf(delta));
        await AnnounceAsync(cancellationToken);
        return true;
    }

    private static string HashOf(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private async Task AnnounceAsync(CancellationToken cancellationToken)
    {
        var self = catalog.Self;
        var sequence = catalog.Applied(self);
        if (sequence - snapshot >= timings.SnapshotEvery)
        {
            var whole = new TierSnapshot(
                self, sequence, time.GetUtcNow(),
                [.. catalog.Segments.Concat(catalog.GivenUpSegments).Where(segment => segment.Server == self).OrderBy(segment => segment.Number).Select(segment =>
                    new TierSegment(segment.Space, segment.Number, DateTimeOffset.FromUnixTimeSeconds(segment.MadeAt), segment.Length, segment.Bytes))],
                [.. catalog.Files.Concat(catalog.GivenUpFiles).Where(file => file.Server == self).Select(file => new TierFile(file.Space, file.Number, file.Bytes))],
                [.. catalog.Dropped.Where(space => space.Value).Select(space => space.Key)],
                [.. catalog.TakenOver]);
            await storage.PutAsync(names.Snapshot(self, sequence), ObjectContent.Of(whole.Encode()), PutCondition.Always, cancellationToken);
            // Those who are reading them now get time to come to the snapshot.
            List<string> old = [.. Enumerable.Range(0, (int)(sequence - snapshot)).Select(i => names.Log(self, sequence - i))];
            if (snapshot > 0)
            {
                old.Add(names.Snapshot(self, snapshot));
            }

            catalog.Append([.. old.Select(DeleteLater)]);
            snapshot = sequence;
        }

        await storage.PutAsync(
            names.Server(self), ObjectContent.Of(new TierServer(self, Environment.MachineName, sequence, Math.Max(0, snapshot)).Encode()), PutCondition.Always, cancellationToken);
        announced = sequence;
        announcedAt = time.GetUtcNow();
    }

    // What an own entry of the log says, for the catalog.
    private List<CatalogLine> LinesOf(TierDelta delta)
    {
        List<CatalogLine> lines = [];
        foreach (var segment in delta.Segments)
        {
            if (catalog.SegmentOf(delta.Server, segment.Number) is { } shorter && shorter.Length != segment.Length)
            {
                lines.Add(DeleteLater(volume.KeyOf(shorter)));
            }

            lines.Add(TierCatalog.LineOf(new CatalogSegment(
                segment.Number, delta.Server, segment.Space, segment.Number, segment.MadeAt.ToUnixTimeSeconds(), segment.Length, segment.Bytes)));
        }

        lines.AddRange(delta.Files.Select(file => TierCatalog.LineOf(new CatalogFile(file.Number, delta.Server, file.Space, file.Number, file.Bytes))));
        foreach (var removal in delta.Removed)
        {
            if (removal.Segment is { } number
                && (catalog.GivenUpSegments.FirstOrDefault(segment => segment.Server == removal.Server && segment.Number == number) ?? catalog.SegmentOf(removal.Server, number)) is { } segment)
            {
                lines.Add(DeleteLater(volume.KeyOf(segment)));
                lines.Add(new CatalogLine(CatalogChange.ForgetSegment) { Local = segment.Local });
            }
            else if (removal.File is { } fileNumber)
            {
                lines.Add(DeleteLater(names.File(removal.Server, removal.Space, fileNumber)));
                lines.Add(new CatalogLine(CatalogChange.ForgetFile) { Local = catalog.LocalFile(removal.Server, fileNumber) });
            }
        }

        lines.AddRange(delta.Dropped.Select(space => new CatalogLine(CatalogChange.Dropped) { Space = space }));
        if (delta.TakesOver is { } dead)
        {
            lines.Add(new CatalogLine(CatalogChange.TakenOver) { Server = dead });
        }

        lines.Add(new CatalogLine(CatalogChange.Applied) { Server = delta.Server, Number = delta.Sequence });
        return lines;
    }

    private CatalogLine DeleteLater(string key) =>
        new(CatalogChange.DeleteLater) { Key = key, At = (time.GetUtcNow() + timings.DeleteAfter).ToUnixTimeSeconds() };

    /// <summary>
    /// Goes on as another server. What is in the bucket belongs to whoever has the old name now, and is seen as any other server's. Segments that
    /// may still grow are forgotten: their bytes are here, and they come again in the old name's log.
    /// </summary>
    private void Rename(Guid? taker)
    {
        var old = catalog.Self;
        var next = Guid.NewGuid();
        catalog.Append([
            .. catalog.Segments.Where(segment => segment.Server == old && volume.Disk.Exists(Segment.NameOf(segment.Local)))
                .Select(segment => new CatalogLine(CatalogChange.ForgetSegment) { Local = segment.Local }),
            .. catalog.Files.Where(file => file.Server == old && volume.Disk.Exists(LargeFile.NameOf(file.Local)))
                .Select(file => new CatalogLine(CatalogChange.ForgetFile) { Local = file.Local }),
            // What of them is only in the bucket is found again by reading the old log from its start.
            new CatalogLine(CatalogChange.Applied) { Server = old, Number = 0 },
            .. catalog.Deletions.Select(deletion => new CatalogLine(CatalogChange.Deleted) { Key = deletion.Key }),
            new CatalogLine(CatalogChange.Identity) { Server = next },
        ]);
        snapshot = 0;
        announced = -1;
        report(taker is { } server
            ? $"The server {server} has taken over what this one ({old}) had in the bucket, as it showed no life for {timings.TakeOverAfter}. It goes on as {next}."
            : $"Another server uses this one's name ({old}) in the bucket: was its folder copied? It goes on as {next}.");
    }

    private async Task DeleteStraysAsync(CancellationToken cancellationToken)
    {
        var known = catalog.Segments.Concat(catalog.GivenUpSegments).Select(volume.KeyOf)
            .Concat(catalog.Files.Concat(catalog.GivenUpFiles).Select(volume.KeyOf))
            .Concat(catalog.Deletions.Select(deletion => deletion.Key))
            .ToHashSet();
        List<string> strays = [];
        await foreach (var found in storage.ListAsync(names.Objects(catalog.Self), null, cancellationToken))
        {
            if (!known.Contains(found.Key))
            {
                strays.Add(found.Key);
            }
        }

        if (strays.Count > 0)
        {
            await storage.DeleteAsync(strays, cancellationToken);
        }
    }
}
