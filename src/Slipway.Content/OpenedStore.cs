using Slipway.Native;

namespace Slipway.Content;

/// <summary>A content store that this server has open.</summary>
public sealed class OpenedStore
{
    internal OpenedStore(Guid id, string name, string path, IContentStore store, SegmentStore segments, StorageTier? bucket, FileLock folderLock)
    {
        Id = id;
        Name = name;
        Path = path;
        Store = store;
        Segments = segments;
        Bucket = bucket;
        Lock = folderLock;
    }

    public Guid Id { get; }

    /// <summary>What operators call it; no two open stores have the same.</summary>
    public string Name { get; }

    /// <summary>The absolute path of its folder.</summary>
    public string Path { get; }

    /// <summary>The blobs of the space that has the store's own id.</summary>
    public IContentStore Store { get; }

    /// <summary>All its spaces.</summary>
    public SegmentStore Segments { get; }

    /// <summary>How its bucket does; null when it has none.</summary>
    public TierStatus? Tier => Bucket?.Status;

    internal StorageTier? Bucket { get; }

    internal FileLock Lock { get; }

    /// <summary>Adds up what the store holds. Looks at every slot of the indexes (0.1 s for 10 million blobs) and at the names of all files.</summary>
    public StoreUsage Measure() => StoreUsage.Of(this);
}
