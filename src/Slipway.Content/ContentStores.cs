using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;

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

            var disk = DiskContentStore.Open(storeId, path, time, out var swept);
            Log.Opened(logger, storeId, path, swept);
            var store = Compose(storeId, disk);
            stores = new Dictionary<Guid, OpenStore>(stores) { [storeId] = new OpenStore(path, disk, store) };
            return store;
        }
        finally
        {
            opening.Release();
        }
    }

    /// <exception cref="InvalidOperationException">The store was not opened: a mistake of the caller.</exception>
    public IContentStore Get(Guid storeId) => stores.TryGetValue(storeId, out var open)
        ? open.Store
        : throw new InvalidOperationException($"The content store {storeId} was not opened.");

    /// <summary>The open stores, by their folder's name: for health.</summary>
    public IReadOnlyList<(string Name, IContentStore Store)> Opened => [.. stores.Values.Select(open => (Path.GetFileName(open.Path), open.Store))];

    /// <summary>Releases the folders. Uploads and readers still in use keep their files, but nothing new can be published.</summary>
    public async ValueTask DisposeAsync()
    {
        await opening.WaitAsync(CancellationToken.None);
        disposed = true;
        foreach (var open in stores.Values)
        {
            await open.Disk.DisposeAsync();
        }

        stores = new Dictionary<Guid, OpenStore>();
        meter.Dispose();
        opening.Release();
    }

    // Outermost first: what is counted is what callers see, refusals of the reserve included.
    private MeteredContentStore Compose(Guid storeId, DiskContentStore disk) =>
        new(
            new ReserveContentStore(
                disk,
                options.ReserveBytes,
                () => disk.FreeBytes),
            meter, storeId, time);

    private sealed record OpenStore(string Path, DiskContentStore Disk, IContentStore Store);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Content store {StoreId} is open at {Path}; swept {Swept} unfinished uploads.")]
        public static partial void Opened(ILogger logger, Guid storeId, string path, int swept);
    }
}
