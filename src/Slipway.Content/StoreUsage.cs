namespace Slipway.Content;

/// <summary>What a store holds, and what that takes.</summary>
public sealed record StoreUsage
{
    /// <summary>What can be found, in all spaces.</summary>
    public required long Blobs { get; init; }

    /// <summary>What the blobs have for their users, uncompressed.</summary>
    public required long LogicalBytes { get; init; }

    /// <summary>Segments and large files, what quotas are compared with; those in a bucket included.</summary>
    public required long StoredBytes { get; init; }

    /// <summary>Of these, bytes of segments that nothing points at: what compaction gives back.</summary>
    public required long DeadBytes { get; init; }

    public required int OpenSegments { get; init; }

    public required int SealedSegments { get; init; }

    /// <summary>Blobs of 1 MiB or more, each a file of its own.</summary>
    public required long LargeFiles { get; init; }

    /// <summary>Files that were set aside because they did not have the bytes they were written with.</summary>
    public required int QuarantinedFiles { get; init; }

    public required long QuarantinedBytes { get; init; }

    /// <summary>Memory of the indexes.</summary>
    public required long IndexBytes { get; init; }

    /// <summary>Files of the store on this machine: segments with their footers, large files, indexes, uploads under way, quarantine.</summary>
    public required long DiskBytes { get; init; }

    /// <summary>Of what was shipped to the bucket; null without one.</summary>
    public required long? ShippedBytes { get; init; }

    /// <summary>The spaces, the one that takes most first.</summary>
    public required IReadOnlyList<(Guid Owner, SpaceUsage Usage)> Spaces { get; init; }

    internal static StoreUsage Of(OpenedStore opened)
    {
        var store = opened.Segments;
        var spaces = store.Spaces;
        long logical = 0;
        foreach (var space in spaces)
        {
            space.Index.RetainWhere(entry =>
            {
                logical += entry.Length;
                return true;
            });
        }

        var segments = spaces.SelectMany(space => space.Segments).ToList();
        var usages = spaces.Select(space => (space.Owner, space.Usage)).OrderByDescending(space => space.Usage.StoredBytes).ThenBy(space => space.Owner).ToList();
        var disk = opened.Bucket?.Volume.Disk ?? store.Volume;
        var quarantine = disk.List("quarantine");
        string[] folders = ["segments", "index", "uploads", "quarantine", "tier", SegmentStub.Folder, .. Enumerable.Range(0, 256).Select(first => $"large/{first:x2}")];
        return new StoreUsage
        {
            Blobs = usages.Sum(space => space.Usage.Blobs),
            LogicalBytes = logical,
            StoredBytes = usages.Sum(space => space.Usage.StoredBytes),
            DeadBytes = segments.Sum(segment => Math.Max(0, segment.Length - Segment.HeaderSize - segment.Live)),
            OpenSegments = segments.Count(segment => !segment.IsSealed),
            SealedSegments = segments.Count(segment => segment.IsSealed),
            LargeFiles = usages.Sum(space => space.Usage.LargeFiles),
            QuarantinedFiles = quarantine.Count,
            QuarantinedBytes = quarantine.Sum(file => file.Length),
            IndexBytes = spaces.Sum(space => space.Index.Bytes),
            DiskBytes = folders.Sum(folder => BytesIn(disk, folder)),
            ShippedBytes = opened.Bucket?.ShippedBytes,
            Spaces = usages,
        };
    }

    // A file may go between its name and its length; then the folder is looked at again.
    private static long BytesIn(IVolume disk, string folder)
    {
        const int Tries = 5;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return disk.List(folder).Sum(file => file.Length);
            }
            catch (FileNotFoundException) when (attempt < Tries)
            {
            }
        }
    }
}
