using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Slipway.Native;

namespace Slipway.Content;

/// <summary>
/// The content stores this server has open, by id. Opening takes the folder's lock, so a folder belongs to one process.
/// </summary>
public sealed partial class ContentStores : IAsyncDisposable
{
    private readonly ContentStoreOptions options;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly Meter meter = new("Slipway.Content");
    private readonly SemaphoreSlim opening = new(1);

    // Replaced whole under opening, so that Get needs no lock.
    private volatile IReadOnlyDictionary<Guid, OpenStore> stores = new Dictionary<Guid, OpenStore>();
    private bool disposed;

    public ContentStores(ContentStoreOptions options, TimeProvider time, ILogger<ContentStores> logger)
    {
        this.options = options;
        this.time = time;
        this.logger = logger;
    }

    /// <summary>Opens the store in the folder <paramref name="path"/>, making it when it is new. Opening an open store again is fine.</summary>
    /// <exception cref="ContentStoreException">
    /// <see cref="ContentFailure.Unavailable"/>: the folder is in use, belongs to another store, or can't be written.
    /// </exception>
    public async Task<IContentStore> OpenAsync(Guid storeId, string path, CancellationToken cancellationToken)
    {
        path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        await opening.WaitAsync(cancellationToken);
        try
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            if (stores.TryGetValue(storeId, out var open))
            {
                return open.Path == path
                    ? open.Store
                    : throw new ContentStoreException(ContentFailure.Unavailable,
                        $"The store {storeId} is open at {open.Path} and can't be opened at {path} as well.");
            }

            var segments = await OpenSegmentsAsync(storeId, path, cancellationToken);
            var store = new MeteredContentStore(new SpaceContentStore(segments.Store.Space(storeId), options.ReserveBytes), meter, storeId, time);
            stores = new Dictionary<Guid, OpenStore>(stores) { [storeId] = new OpenStore(path, segments.Store, segments.Tier, segments.Lock, store) };
            Log.Opened(logger, storeId, path);
            return store;
        }
        finally
        {
            opening.Release();
        }
    }

    /// <summary>The spaces of an open store.</summary>
    /// <exception cref="InvalidOperationException">The store was not opened: a mistake of the caller.</exception>
    public SegmentStore Segments(Guid storeId) => stores.TryGetValue(storeId, out var open)
        ? open.Segments
        : throw new InvalidOperationException($"The content store {storeId} was not opened.");

    /// <exception cref="InvalidOperationException">The store was not opened: a mistake of the caller.</exception>
    public IContentStore Get(Guid storeId) => stores.TryGetValue(storeId, out var open)
        ? open.Store
        : throw new InvalidOperationException($"The content store {storeId} was not opened.");

    /// <summary>The buckets of the open stores, by their folder's name: for health.</summary>
    public IReadOnlyList<(string Name, TierStatus Status)> Tiers =>
        [.. stores.Values.Where(open => open.Tier is not null).Select(open => (Path.GetFileName(open.Path), open.Tier!.Status))];

    /// <summary>The bucket of an open store; null when it has none.</summary>
    internal StorageTier? Tier(Guid storeId) => stores.GetValueOrDefault(storeId)?.Tier;

    /// <summary>The open stores, by their folder's name: for health.</summary>
    public IReadOnlyList<(string Name, IContentStore Store)> Opened => [.. stores.Values.Select(open => (Path.GetFileName(open.Path), open.Store))];

    /// <summary>Releases the folders. Uploads and readers still in use keep their files, but nothing new can be published.</summary>
    public async ValueTask DisposeAsync()
    {
        await opening.WaitAsync(CancellationToken.None);
        disposed = true;
        foreach (var open in stores.Values)
        {
            if (open.Tier is not null)
            {
                await open.Tier.DisposeAsync();
            }

            await open.Segments.DisposeAsync();
            open.Tier?.Close();
            open.Lock.Dispose();
        }

        stores = new Dictionary<Guid, OpenStore>();
        meter.Dispose();
        opening.Release();
    }

    private async Task<(SegmentStore Store, StorageTier? Tier, FileLock Lock)> OpenSegmentsAsync(Guid storeId, string path, CancellationToken cancellationToken)
    {
        var folderLock = StoreFolder.Take(storeId, path, out var isFirstLayout);
        StorageTier? tier = null;
        try
        {
            if (isFirstLayout)
            {
                // A move that was cut short begins anew.
                foreach (var folder in (string[])["segments", "index", "large"])
                {
                    if (Directory.Exists(Path.Combine(path, folder)))
                    {
                        Directory.Delete(Path.Combine(path, folder), recursive: true);
                    }
                }
            }

            var disk = new DiskVolume(path);
            void Report(string problem) => Log.Problem(logger, storeId, problem);
            if (options.S3 is { } bucket)
            {
                tier = new StorageTier(storeId, disk, bucket, options.TierTimings, time, Report);
                Log.Tiered(logger, storeId, bucket.ToString());
            }
            else
            {
                StorageTier.ThrowIfNeeded(disk);
            }

            var store = new SegmentStore(tier?.Volume ?? (IVolume)disk, time, options.ReserveBytes, Report);
            tier?.Prepare(store);
            store.Start(options.Housekeeping);
            if (isFirstLayout)
            {
                await store.Loaded.WaitAsync(cancellationToken);
                Log.Moving(logger, storeId);
                await LayoutOne.MoveAsync(store, storeId, path, cancellationToken);
            }

            tier?.Start(store);
            return (store, tier, folderLock);
        }
        catch (Exception exception)
        {
            tier?.Close();
            folderLock.Dispose();
            if (exception is IOException or UnauthorizedAccessException)
            {
                throw DiskFailure.Translate(exception, $"The store at {path} can't be opened");
            }

            throw;
        }
    }

    private sealed record OpenStore(string Path, SegmentStore Segments, StorageTier? Tier, FileLock Lock, IContentStore Store);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Content store {StoreId} is open at {Path}.")]
        public static partial void Opened(ILogger logger, Guid storeId, string path);

        [LoggerMessage(2, LogLevel.Warning, "Content store {StoreId}: {Problem}")]
        public static partial void Problem(ILogger logger, Guid storeId, string problem);

        [LoggerMessage(3, LogLevel.Information, "Content store {StoreId} has a file for every blob; moving them to segments, once.")]
        public static partial void Moving(ILogger logger, Guid storeId);

        [LoggerMessage(4, LogLevel.Information, "Content store {StoreId} has its segments in {Bucket} as well.")]
        public static partial void Tiered(ILogger logger, Guid storeId, string bucket);
    }
}
