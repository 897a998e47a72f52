using Slipway.Content;

namespace Slipway.BuildCache.Namespaces;

/// <summary>The spaces of the build caches: one content store for all of them, in which every cache has segments of its own.</summary>
internal sealed class CacheSpaces(ContentStores stores, BuildCacheOptions options)
{
    /// <summary>The id of the store, the same on every server: its folder says so too, so that no other store is opened there.</summary>
    public static readonly Guid StoreId = new("0195a7a0-0b1d-7cac-8e00-000000000001");

    /// <summary>What operators call it, in `slipway store stats` and the like.</summary>
    private const string StoreName = "buildcache";

    private SegmentStore Store => stores.Segments(StoreId);

    public Task OpenAsync(CancellationToken cancellationToken) => stores.OpenAsync(StoreId, StoreName, options.StoreFolder, cancellationToken);

    /// <summary>Completes when everything that was here before the start can be found; until then all is missing, which is a safe answer.</summary>
    public Task Loaded => Store.Loaded;

    public ContentSpace Of(Guid cache) => Store.Space(cache);

    public SpaceUsage UsageOf(Guid cache) => Store.Space(cache).Usage;

    /// <summary>Gives the bounds of each cache to its space.</summary>
    public void Bound(IEnumerable<BuildCacheSettings> caches)
    {
        foreach (var cache in caches)
        {
            var space = Store.Space(cache.Id);
            space.Quota = cache.QuotaBytes;
            space.Retention = cache.Retention;
        }
    }

    /// <summary>Deletes everything a cache holds: as much work as it has segments.</summary>
    public Task DropAsync(Guid cache, CancellationToken cancellationToken) => Store.DropAsync(cache, cancellationToken);

    /// <summary>Spaces that may belong to a cache.</summary>
    public IReadOnlyList<Guid> Owners => [.. Store.Spaces.Select(space => space.Owner).Where(owner => owner != StoreId)];
}
