namespace Slipway.Content;

/// <summary>What health says of a store's bucket.</summary>
/// <param name="Problem">What went wrong last, without credentials; null when nothing is wrong.</param>
/// <param name="FailingSince">Since when no request has succeeded.</param>
/// <param name="WaitingSince">Since when something acknowledged is only on this machine; null: all is in the bucket.</param>
/// <param name="LocalBytes">On this machine, and of these those that are only here.</param>
/// <param name="NotShippedFiles">Segments and large files that are only here: the queue.</param>
/// <param name="FailedRequests">Since the start of this server; each attempt counts.</param>
/// <param name="OtherServers">That share the bucket.</param>
public sealed record TierStatus(
    string Bucket, string? Problem, DateTimeOffset? FailingSince, DateTimeOffset? WaitingSince, long LocalBytes, long NotShippedBytes, int NotShippedFiles, long FailedRequests,
    int OtherServers);

/// <summary>
/// A store's second tier: a bucket. What is written here is shipped there, what was dropped here is read from there, and what other servers
/// put there is found here.
/// <code>
///   engine ─► TieredVolume ─► disk
///                │       └──► RemoteBlocks ─► bucket  (patient for readers)
///             TierCatalog
///                │
///   Shipper ─► TierPublisher ─► bucket                (patient for the background)
///   Follower ◄─────────────────┘
///   LocalBytes ─► drops copies
/// </code>
/// </summary>
internal sealed class StorageTier : IAsyncDisposable
{
    /// <summary>Blocks kept in memory, for all readers of a store together.</summary>
    private const long BlockCacheBytes = 128 << 20;

    private readonly S3Options options;
    private readonly TierTimings timings;
    private readonly TimeProvider time;
    private readonly Action<string> report;
    private readonly IObjectStorage bucket;
    private readonly ReliableObjectStorage background;
    private readonly CircuitBreaker breaker;
    private readonly TierCatalog catalog;
    private readonly TierNames names;
    private readonly CancellationTokenSource stopping = new();
    private readonly SemaphoreSlim polling = new(1);
    private SegmentStore? store;
    private TierPublisher? publisher;
    private Shipper? shipper;
    private Follower? follower;
    private LocalBytes? local;
    private List<Task> loops = [];
    private volatile bool recovered;

    public StorageTier(Guid storeId, IVolume disk, S3Options options, TierTimings timings, TimeProvider time, Action<string> report)
    {
        this.options = options;
        this.timings = timings;
        this.time = time;
        this.report = report;
        disk.CreateFolder("tier");
        disk.CreateFolder(SegmentStub.Folder);
        catalog = new TierCatalog(disk);
        var place = $"{options.Bucket}/{options.Prefix}";
        if (catalog.Bucket is null)
        {
            catalog.Append([new CatalogLine(CatalogChange.Bucket) { Key = place }]);
        }
        else if (catalog.Bucket != place)
        {
            catalog.Dispose();
            throw new ContentStoreException(ContentFailure.Unavailable,
                $"This store has its segments in the bucket {catalog.Bucket}, and content.s3 names {place}. Copy the objects there and give the server an empty folder, or go back to {catalog.Bucket}.");
        }

        names = new TierNames(storeId);
        bucket = new S3ObjectStorage(options);
        // The network's time is the real one, whatever clock the store lives by.
        var network = TimeProvider.System;
        breaker = new CircuitBreaker(network);
        background = new ReliableObjectStorage(bucket, Persistence.OfShipping, breaker, network, Random.Shared);
        Blocks = new RemoteBlocks(new ReliableObjectStorage(bucket, Persistence.OfReaders, breaker, network, Random.Shared), BlockCacheBytes);
        Volume = new TieredVolume(disk, catalog, names, Blocks);
    }

    /// <summary>The files the engine works on.</summary>
    public TieredVolume Volume { get; }

    public RemoteBlocks Blocks { get; }

    public TierStatus Status => new(
        options.ToString(), breaker.Problem, breaker.FailingSince, shipper?.WaitingSince, local?.Used ?? 0, local?.NotShipped ?? 0, local?.NotShippedFiles ?? 0, breaker.FailedCalls,
        follower?.Servers ?? 0);

    /// <summary>Bytes of this server's that are in the bucket.</summary>
    public long ShippedBytes =>
        catalog.Segments.Where(segment => catalog.Owns(segment.Server)).Sum(segment => segment.Bytes) + catalog.Files.Where(file => catalog.Owns(file.Server)).Sum(file => file.Bytes);

    /// <summary>Before a store without a bucket is opened: what is only in one would silently be missing.</summary>
    /// <exception cref="ContentStoreException"><see cref="ContentFailure.Unavailable"/></exception>
    public static void ThrowIfNeeded(IVolume disk)
    {
        if (!disk.Exists(TierCatalog.FileName))
        {
            return;
        }

        using var catalog = new TierCatalog(disk);
        var away = catalog.Segments.Count(segment => !disk.Exists(Segment.NameOf(segment.Local))) + catalog.Files.Count(file => !disk.Exists(LargeFile.NameOf(file.Local)));
        if (away > 0)
        {
            throw new ContentStoreException(ContentFailure.Unavailable,
                $"{away} segments and large files of this store are only in the bucket {catalog.Bucket}. Set content.s3.endpoint and content.s3.bucket, or start with an empty folder.");
        }
    }

    /// <summary>Before the engine numbers anything.</summary>
    public void Prepare(SegmentStore segments) => segments.NumbersUsed(catalog.Used.Segment, catalog.Used.File);

    /// <summary>Begins to ship and to follow once the store is loaded.</summary>
    public void Start(SegmentStore segments)
    {
        store = segments;
        publisher = new TierPublisher(Volume, background, names, timings, time, report);
        shipper = new Shipper(segments, Volume, background, names, publisher, timings, time, report);
        follower = new Follower(segments, Volume, background, names, publisher, timings, time, report);
        local = new LocalBytes(segments, Volume, options.LocalBytes, report);
        segments.Dropping = NoteDropped;
        loops =
        [
            LoopAsync("Shipping to", timings.Tick, ShipAsync),
            LoopAsync("Following the other servers in", timings.Poll, FollowAsync),
            LoopAsync("Tidying the copies of", timings.Housekeeping, TidyAsync),
        ];
    }

    /// <summary>Ships everything there is now, due or not, and returns when it is in the bucket.</summary>
    /// <exception cref="ObjectStorageException">It is not.</exception>
    public async Task FlushAsync(CancellationToken cancellationToken)
    {
        await EnsureRecoveredAsync(cancellationToken);
        do
        {
            shipper!.Tick(everything: true, cancellationToken);
            await shipper.WaitAsync();
            cancellationToken.ThrowIfCancellationRequested();
            if (shipper.WaitingSince is not null && (breaker.Problem ?? shipper.Problem) is { } problem)
            {
                throw new ObjectStorageException(ObjectFailure.Unavailable, problem);
            }
        }
        while (shipper.WaitingSince is not null);
    }

    /// <summary>Looks for news of other servers now.</summary>
    public async Task RefreshAsync(CancellationToken cancellationToken) => await FollowAsync(cancellationToken);

    /// <summary>Drops copies down to the limit now.</summary>
    public void Tidy() => local!.Tidy();

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await Task.WhenAll(loops);
        if (shipper is not null)
        {
            await shipper.WaitAsync();
        }

        polling.Dispose();
        stopping.Dispose();
    }

    /// <summary>After the engine is done with its files.</summary>
    public void Close()
    {
        bucket.Dispose();
        catalog.Dispose();
    }

    private void NoteDropped(Guid space)
    {
        if (!catalog.IsDropped(space))
        {
            catalog.Append([new CatalogLine(CatalogChange.Drop) { Space = space }]);
        }
    }

    private async Task EnsureRecoveredAsync(CancellationToken cancellationToken)
    {
        if (!recovered)
        {
            await publisher!.RecoverAsync(cancellationToken);
            recovered = true;
        }
    }

    private async Task ShipAsync(CancellationToken cancellationToken)
    {
        await EnsureRecoveredAsync(cancellationToken);
        shipper!.Tick(everything: false, cancellationToken);
        await TellAsync(cancellationToken);
        await DeleteDueAsync(cancellationToken);
    }

    /// <summary>Tells the others of dropped spaces, and that this server lives.</summary>
    internal async Task TellAsync(CancellationToken cancellationToken)
    {
        await shipper!.TellOfDroppedAsync(cancellationToken);
        await publisher!.ShowLifeAsync(cancellationToken);
    }

    /// <summary>Deletes the objects whose time has come.</summary>
    internal async Task DeleteDueAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();
        var due = catalog.Deletions.Where(deletion => deletion.Value <= now).Select(deletion => deletion.Key).Take(ObjectLimits.DeletesAtOnce).ToList();
        if (due.Count > 0)
        {
            await background.DeleteAsync(due, cancellationToken);
            catalog.Append([.. due.Select(key => new CatalogLine(CatalogChange.Deleted) { Key = key })]);
        }
    }

    private async Task FollowAsync(CancellationToken cancellationToken)
    {
        await polling.WaitAsync(cancellationToken);
        try
        {
            await EnsureRecoveredAsync(cancellationToken);
            await follower!.PollAsync(cancellationToken);
        }
        finally
        {
            polling.Release();
        }
    }

    private Task TidyAsync(CancellationToken cancellationToken) => Task.Run(local!.Tidy, cancellationToken);

    private async Task LoopAsync(string what, TimeSpan period, Func<CancellationToken, Task> round)
    {
        if (period == Timeout.InfiniteTimeSpan)
        {
            return;
        }

        string? problem = null;
        using var timer = new PeriodicTimer(period, time);
        try
        {
            await store!.Loaded.WaitAsync(stopping.Token);
            do
            {
                try
                {
                    await round(stopping.Token);
                    problem = null;
                }
                catch (Exception e) when (e is ObjectStorageException or IOException or UnauthorizedAccessException or ContentStoreException or ObjectDisposedException)
                {
                    // Told once, not every round for as long as it lasts.
                    if (problem != e.Message)
                    {
                        problem = e.Message;
                        report($"{what} the bucket failed and is tried again: {e.Message}");
                    }
                }
            }
            while (await timer.WaitForNextTickAsync(stopping.Token));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
        catch (Exception e) when (!store!.Loaded.IsCompletedSuccessfully)
        {
            report($"{what} the bucket does not begin, as the store could not be loaded: {e.Message}");
        }
    }
}
