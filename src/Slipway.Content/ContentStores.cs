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
    private volatile IReadOnlyDictionary<Guid, OpenedStore> stores = new Dictionary<Guid, OpenedStore>();
    private bool disposed;

    public ContentStores(ContentStoreOptions options, TimeProvider time, ILogger<ContentStores> logger)
    {
        this.options = options;
        this.time = time;
        this.logger = logger;
        StoreMetrics.Observe(meter, time, () => stores.Values);
    }

    /// <summary>Opens the store in the folder <paramref name="path"/>, making it when it is new. Opening an open store again is fine.</summary>
    /// <param name="name">What operators call it; no other open store may have it.</param>
    /// <exception cref="ContentStoreException">
    /// <see cref="ContentFailure.Unavailable"/>: the folder is in use, belongs to another store, or can't be written; or the name is taken.
    /// </exception>
    public async Task<IContentStore> OpenAsync(Guid storeId, string name, string path, CancellationToken cancellationToken)
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

            if (Find(name) is { } other)
            {
                throw new ContentStoreException(ContentFailure.Unavailable, $"The store at {path} can't be called {name}: the one at {other.Path} is.");
            }

            var segments = await OpenSegmentsAsync(storeId, path, cancellationToken);
            var store = new MeteredContentStore(new SpaceContentStore(segments.Store.Space(storeId), options.ReserveBytes), meter, name, time);
            stores = new Dictionary<Guid, OpenedStore>(stores) { [storeId] = new OpenedStore(storeId, name, path, store, segments.Store, segments.Tier, segments.Lock) };
            Log.Opened(logger, storeId, path);
            return store;
        }
        finally
        {
            opening.Release();
        }
    }

    /// <summary>The same under the name of its folder.</summary>
    public Task<IContentStore> OpenAsync(Guid storeId, string path, CancellationToken cancellationToken) =>
        OpenAsync(storeId, Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path))), path, cancellationToken);

    /// <summary>The spaces of an open store.</summary>
    /// <exception cref="InvalidOperationException">The store was not opened: a mistake of the caller.</exception>
    public SegmentStore Segments(Guid storeId) => Open(storeId).Segments;

    /// <exception cref="InvalidOperationException">The store was not opened: a mistake of the caller.</exception>
    public IContentStore Get(Guid storeId) => Open(storeId).Store;

    /// <summary>Every open store, by name.</summary>
    public IReadOnlyList<OpenedStore> Opened => [.. stores.Values.OrderBy(open => open.Name, StringComparer.Ordinal)];

    /// <summary>The open store of that name; null when there is none.</summary>
    public OpenedStore? Find(string name) => stores.Values.FirstOrDefault(open => open.Name == name);

    /// <summary>The bucket of an open store; null when it has none.</summary>
    internal StorageTier? Tier(Guid storeId) => stores.GetValueOrDefault(storeId)?.Bucket;

    /// <summary>Releases the folders. Uploads and readers still in use keep their files, but nothing new can be published.</summary>
    public async ValueTask DisposeAsync()
    {
        await opening.WaitAsync(CancellationToken.None);
        disposed = true;
        foreach (var open in stores.Values)
        {
            if (open.Bucket is not null)
            {
                await open.Bucket.DisposeAsync();
            }

            await open.Segments.DisposeAsync();
            open.Bucket?.Close();
            open.Lock.Dispose();
        }

        stores = new Dictionary<Guid, OpenedStore>();
        meter.Dispose();
        opening.Release();
    }

    private OpenedStore Open(Guid storeId) => stores.TryGetValue(storeId, out var open)
        ? open
        : throw new InvalidOperationException($"The content store {storeId} was not opened.");

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
