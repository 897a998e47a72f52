using System.Globalization;
using System.Runtime.InteropServices;

namespace Slipway.Content;

/// <summary>
/// Builds the indexes from the files: checkpoints first, then what the log has beyond them.
/// <code>
///   index/*      ─► slots, as they were           ┐
///   segments/*   ─► sealed: footer; open: records ┴─► index ─► what points at nothing is dropped
///   large/*      ─► deleted when nothing points at it
/// </code>
/// </summary>
internal sealed class StoreLoader(SegmentStore store, IVolume volume, Action<string> report)
{
    public void Load(DateTimeOffset keepUploadsSince)
    {
        // Names that the last process made and didn't sync count as durable from here on.
        volume.SyncFolder("segments");
        var checkpoints = ReadCheckpoints();
        var bySpace = OpenSegments(checkpoints);
        var files = FindLargeFiles();
        var referenced = new HashSet<long>();
        foreach (var checkpoint in checkpoints.Values)
        {
            store.NumbersUsed(checkpoint.NextSegment, checkpoint.NextFile);
        }

        Parallel.ForEach(bySpace, pair =>
        {
            var numbers = LoadSpace(store.Space(pair.Key), pair.Value, checkpoints.GetValueOrDefault(pair.Key), files);
            lock (referenced)
            {
                referenced.UnionWith(numbers);
            }
        });

        foreach (var (number, _) in files)
        {
            store.NumbersUsed(0, number);
            if (!referenced.Contains(number))
            {
                volume.Delete(LargeFile.NameOf(number));
            }
        }

        foreach (var upload in volume.List("uploads"))
        {
            if (!upload.Name.StartsWith('r') || upload.ModifiedAt < keepUploadsSince)
            {
                volume.Delete($"uploads/{upload.Name}");
            }
            else
            {
                store.Unfinished.LeftOver($"uploads/{upload.Name}", upload.ModifiedAt);
            }
        }
    }

    private Dictionary<Guid, Checkpoint> ReadCheckpoints()
    {
        var checkpoints = new Dictionary<Guid, Checkpoint>();
        foreach (var file in volume.List("index"))
        {
            if (file.Name.EndsWith(".new", StringComparison.Ordinal))
            {
                volume.Delete($"index/{file.Name}");
            }
            else if (Checkpoint.Read(volume, $"index/{file.Name}") is { } checkpoint)
            {
                checkpoints[checkpoint.Owner] = checkpoint;
            }
            else
            {
                report($"The index {file.Name} is not sound; it is made anew from the segments.");
            }
        }

        return checkpoints;
    }

    // A sealed segment that a checkpoint knows needs no look at its file.
    private Dictionary<Guid, List<Segment>> OpenSegments(Dictionary<Guid, Checkpoint> checkpoints)
    {
        var known = checkpoints.Values
            .SelectMany(checkpoint => checkpoint.Segments.Where(segment => segment.IsSealed).Select(segment => (checkpoint.Owner, segment)))
            .ToDictionary(pair => pair.segment.Number);
        var bySpace = checkpoints.Keys.ToDictionary(owner => owner, _ => new List<Segment>());
        foreach (var file in volume.List("segments").OrderBy(file => file.Name, StringComparer.Ordinal))
        {
            if (!uint.TryParse(file.Name, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var number))
            {
                continue;
            }

            store.NumbersUsed(number, 0);
            var segment = known.TryGetValue(number, out var covered)
                ? new Segment(volume, number, covered.Owner, covered.segment.MadeAt, covered.segment.Length, isSealed: true) { IsNameDurable = true }
                : Segment.Open(volume, number);
            if (segment is null)
            {
                // Its header was never written whole, so nobody was told of anything in it.
                volume.Delete(Segment.NameOf(number));
                continue;
            }

            if (!bySpace.TryGetValue(segment.Owner, out var segments))
            {
                bySpace[segment.Owner] = segments = [];
            }

            segments.Add(segment);
        }

        return bySpace;
    }

    private Dictionary<long, long> FindLargeFiles()
    {
        var files = new Dictionary<long, long>();
        for (var first = 0; first < 256; first++)
        {
            foreach (var file in volume.List($"large/{first:x2}"))
            {
                if (long.TryParse(file.Name, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var number))
                {
                    files[number] = file.Length;
                }
            }
        }

        return files;
    }

    /// <returns>The large files the space has.</returns>
    private List<long> LoadSpace(ContentSpace space, List<Segment> segments, Checkpoint? checkpoint, Dictionary<long, long> files)
    {
        var index = space.Index;
        if (checkpoint is not null && !checkpoint.TryLoad(volume, index))
        {
            report($"The index of space {space.Owner} is not sound; it is made anew from the segments.");
            index.Clear();
            checkpoint = null;
        }

        var covered = checkpoint?.Segments.ToDictionary(segment => segment.Number, segment => segment.Length) ?? [];
        long replayed = 0;
        foreach (var segment in segments)
        {
            store.Add(segment);
            var from = covered.GetValueOrDefault(segment.Number, Segment.HeaderSize);
            var isLast = segment == segments[^1];
            if (segment.IsSealed)
            {
                if (from < segment.Length)
                {
                    replayed += Replay(index, segment, segment.Records().Where(placed => placed.Offset >= from));
                }
            }
            else
            {
                var records = new List<PlacedRecord>();
                var end = segment.Scan(from, segment.File().Length, checkPayloads: true, records.Add, torn => segment.Void(torn));
                if (end < segment.File().Length)
                {
                    segment.Truncate(end);
                }

                segment.Grow(end);
                replayed += Replay(index, segment, records);
                if (isLast)
                {
                    space.Writer.Open = segment;
                }
                else
                {
                    store.Sealed(segment);
                }
            }

            space.AddSegment(segment);
            if (from < segment.Length)
            {
                // The last process may have died before it synced this. Whoever asks for durability now relies on it as well.
                space.Sync.Wrote(segment, segment.Length - from);
            }
        }

        var referenced = new List<long>();
        // The shards on all cores; each adds up for itself, as 10 million additions to a few shared sums would be what takes the time.
        Parallel.For(0, BlobIndex.Shards, shard =>
        {
            var live = new Dictionary<Segment, long>();
            var large = new List<long>();
            index.RetainWhere(shard, entry =>
            {
                if (entry.IsLarge)
                {
                    large.Add(entry.FileNumber);
                    return files.ContainsKey(entry.FileNumber);
                }

                var size = Record.SizeOf(entry.StoredLength);
                if (store.Find(entry.Segment) is not { } segment || segment.Owner != space.Owner || entry.Offset + size > segment.Length)
                {
                    return false;
                }

                CollectionsMarshal.GetValueRefOrAddDefault(live, segment, out _) += size;
                return true;
            });
            lock (referenced)
            {
                foreach (var (segment, bytes) in live)
                {
                    segment.AddLive(bytes);
                }

                foreach (var number in large.Where(files.ContainsKey))
                {
                    referenced.Add(number);
                    space.AddLarge(files[number]);
                }
            }
        });
        space.NoteReplayed(replayed);
        return referenced;
    }

    // In the order they were written, so that the last word counts.
    private long Replay(BlobIndex index, Segment segment, IEnumerable<PlacedRecord> records)
    {
        long count = 0;
        foreach (var placed in records)
        {
            count++;
            if (placed.Record.What == RecordKind.Removed)
            {
                index.Remove(placed.Record.Key, place: null, out _);
                continue;
            }

            if (placed.Record.What == RecordKind.Large)
            {
                lock (store)
                {
                    store.NumbersUsed(0, placed.Large.Number);
                }
            }

            index.Put(placed.Record.Key, placed.EntryIn(segment.Number), out _);
        }

        return count;
    }
}
