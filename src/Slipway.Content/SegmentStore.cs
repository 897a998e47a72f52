using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.Content;

/// <summary>
/// A folder of segments and large files, divided into spaces. README.md beside this file has the layout and the crash rules.
/// </summary>
/// <remarks>Serves as soon as it is opened: while the indexes are being loaded everything is "missing", which is always a safe answer, and puts wait.</remarks>
public sealed class SegmentStore : IAsyncDisposable
{
    /// <summary>How many bytes are written before the free space is asked for again. Asking takes 2 µs.</summary>
    private const long CheckRoomEvery = 16L << 20;

    /// <summary>How many puts come before the indexes are counted again: 50 KB of them.</summary>
    private const int CountIndexEvery = 1000;

    /// <summary>What a blob takes in an index at the most (<see cref="BlobIndex"/>).</summary>
    private const int IndexBytesPerBlob = 52;

    private readonly IVolume volume;
    private readonly TimeProvider time;
    private readonly long reserveBytes;
    private readonly Action<string> report;
    private readonly SyncThreads threads = new();
    private readonly ConcurrentDictionary<Guid, ContentSpace> spaces = new();

    // By number, in blocks, so that a read finds its segment with two array look-ups. Numbers are never used twice.
    private readonly Lock segmentsLock = new();
    private Segment?[]?[] segments = new Segment?[]?[16];
    private readonly TaskCompletionSource loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource stopping = new();
    private Task maintenance = Task.CompletedTask;
    private uint nextSegment = 1;
    private long nextFile = 1;
    private long lastUpload;
    private long freeBytes;
    private int sinceIndexCount;
    private volatile bool isIndexFull;
    private long sinceCheck = CheckRoomEvery;

    internal SegmentStore(IVolume volume, TimeProvider time, long reserveBytes, Action<string> report)
    {
        this.volume = volume;
        this.time = time;
        this.reserveBytes = reserveBytes;
        this.report = report;
        Unfinished = new UnfinishedUploads(volume, time);
    }

    /// <summary>Completes when every blob that was here before can be found.</summary>
    public Task Loaded => loaded.Task;

    public bool IsLoaded => loaded.Task.IsCompletedSuccessfully;

    /// <summary>The spaces that have anything, or were asked for.</summary>
    public IReadOnlyCollection<ContentSpace> Spaces => [.. spaces.Values];

    /// <summary>At which length a segment is sealed. Tests make it small.</summary>
    internal int SegmentBytes { get; init; } = Segment.DefaultMaxLength;

    internal IVolume Volume => volume;

    /// <summary>Called when a space was dropped, before anything of it is deleted.</summary>
    internal Action<Guid>? Dropping { get; set; }

    internal UnfinishedUploads Unfinished { get; }

    /// <summary>
    /// Memory that the indexes of all spaces may take: a quarter of what this process may have (5 million blobs take 250 MB). Blobs of one
    /// byte take more of it than of any quota, and a server that is killed for its memory serves nobody.
    /// </summary>
    internal long IndexBudget { get; init; } = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4;

    internal uint NextSegmentNumber => Volatile.Read(ref nextSegment);

    internal long LastFileNumber => Volatile.Read(ref nextFile);

    /// <summary>The part of the store that belongs to an owner; made when it is new.</summary>
    public ContentSpace Space(Guid owner) => spaces.GetOrAdd(owner, id => new ContentSpace(this, volume, id, time));

    /// <summary>Deletes a space and everything in it: as much work as it has segments and large files.</summary>
    public async Task DropAsync(Guid owner, CancellationToken cancellationToken)
    {
        await Loaded.WaitAsync(cancellationToken);
        if (spaces.TryRemove(owner, out var space))
        {
            Dropping?.Invoke(owner);
            await Task.Run(() =>
            {
                space.Drop();
                volume.Delete(Checkpoint.NameOf(owner));
            }, CancellationToken.None);
        }
    }

    /// <summary>
    /// Reads every record and every large file of all spaces and compares them with their checksums, and the log with the index.
    /// With <paramref name="quarantine"/> what has rotted is forgotten, so that the next upload heals it.
    /// </summary>
    /// <param name="bytesPerSecond">At most so many are read; 0 for as fast as the disk gives them.</param>
    public Task<StoreReport> CheckAsync(bool quarantine, long bytesPerSecond, CancellationToken cancellationToken) =>
        CheckAsync(new StoreCheckOptions(Deep: true, quarantine, bytesPerSecond), static _ => { }, cancellationToken);

    /// <summary>Compares the store with itself.</summary>
    /// <param name="progress">Told of what was found so far, every few MiB.</param>
    public async Task<StoreReport> CheckAsync(StoreCheckOptions options, Action<StoreReport> progress, CancellationToken cancellationToken)
    {
        await Loaded.WaitAsync(cancellationToken);
        var check = new StoreCheck(volume, time, options, progress);
        foreach (var space in spaces.Values.Where(space => options.After is not { } after || space.Owner.CompareTo(after.Space) >= 0).OrderBy(space => space.Owner))
        {
            await check.CheckAsync(space, cancellationToken);
        }

        return check.Report;
    }

    /// <summary>Rewrites segments of which less than a part (0 to 1) is alive, also those that are still being filled. Loses nothing.</summary>
    /// <returns>Bytes given back to the disk.</returns>
    public async Task<long> CompactAsync(double alive, CancellationToken cancellationToken)
    {
        await Loaded.WaitAsync(cancellationToken);
        long given = 0;
        foreach (var space in spaces.Values)
        {
            if (space.Writer.Open is { } open && open.Live < (open.Length - Segment.HeaderSize) * alive)
            {
                await space.Writer.SealAsync(cancellationToken);
                await open.SealEnded.WaitAsync(cancellationToken);
            }

            given += await space.Eviction.CompactAsync(alive, cancellationToken);
        }

        return given;
    }

    /// <summary>Writes the indexes, so that the next start has nothing to replay, and lets go of the files.</summary>
    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await maintenance;
        if (IsLoaded)
        {
            foreach (var space in spaces.Values)
            {
                await CheckpointAsync(space, onlyWhenDue: false);
            }
        }

        foreach (var space in spaces.Values)
        {
            space.Writer.Stop();
            foreach (var segment in space.Segments)
            {
                segment.Close();
            }

            space.Index.Dispose();
        }

        threads.Dispose();
        stopping.Dispose();
    }

    /// <summary>Begins to load, then keeps house, until the store is disposed.</summary>
    internal void Start(TimeSpan housekeeping)
    {
        foreach (var folder in (string[])["segments", "index", "uploads", "large", "quarantine"])
        {
            volume.CreateFolder(folder);
        }

        // Up front: a commit never has to make a folder durable first.
        for (var first = 0; first < 256; first++)
        {
            volume.CreateFolder($"large/{first:x2}");
        }

        volume.SyncFolder("large");
        volume.SyncFolder("");
        maintenance = Task.Run(() => RunAsync(housekeeping));
    }

    internal Segment? Find(uint number)
    {
        var blocks = Volatile.Read(ref segments);
        var block = (int)(number >> 10);
        return block < blocks.Length ? blocks[block]?[number & 1023] : null;
    }

    internal void Add(Segment segment)
    {
        lock (segmentsLock)
        {
            var block = (int)(segment.Number >> 10);
            if (block >= segments.Length)
            {
                var grown = new Segment?[]?[Math.Max(block + 1, segments.Length * 2)];
                segments.CopyTo(grown, 0);
                Volatile.Write(ref segments, grown);
            }

            Volatile.Write(ref (segments[block] ??= new Segment?[1024])[segment.Number & 1023], segment);
        }
    }

    internal void Forget(Segment segment)
    {
        lock (segmentsLock)
        {
            segments[segment.Number >> 10]![segment.Number & 1023] = null;
        }
    }

    internal Segment NewSegment(ContentSpace space)
    {
        var segment = Segment.Create(volume, Interlocked.Increment(ref nextSegment), space.Owner, time.GetUtcNow());
        Add(segment);
        space.AddSegment(segment);
        return segment;
    }

    /// <summary>A number for a segment that comes from elsewhere.</summary>
    internal uint TakeSegmentNumber() => Interlocked.Increment(ref nextSegment);

    /// <summary>A segment is full: its footer is written in the background.</summary>
    internal void Sealed(Segment segment) => threads.Run(() => Seal(segment));

    internal long NextFileNumber() => Interlocked.Increment(ref nextFile);

    /// <summary>At load: numbers that were used are not used again.</summary>
    internal void NumbersUsed(uint segment, long file)
    {
        nextSegment = Math.Max(nextSegment, segment);
        // Other servers' files have numbers of their own, from 2 to the 40 on.
        nextFile = file < LargeFile.FirstForeign ? Math.Max(nextFile, file) : nextFile;
    }

    internal string NextUploadName(Guid owner, string? resumeName) => resumeName is null
        ? $"uploads/{Interlocked.Increment(ref lastUpload)}"
        : $"uploads/r{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{owner:n} {resumeName}")))}";

    internal void RunSync(Action action) => threads.Run(action);

    internal void Report(ContentSpace space, string what) => report($"Space {space.Owner}: {what}");

    internal void Quarantine(string name)
    {
        try
        {
            volume.Rename(name, $"quarantine/{name[(name.LastIndexOf('/') + 1)..]}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            report($"{name} could not be moved to quarantine: {exception.Message}");
        }
    }

    /// <summary>Whether the disk has room above its reserve; asked of the disk once per 16 MiB.</summary>
    internal bool HasRoomFor(long bytes)
    {
        if (Interlocked.Add(ref sinceCheck, bytes) >= CheckRoomEvery)
        {
            Volatile.Write(ref freeBytes, volume.FreeBytes);
            Volatile.Write(ref sinceCheck, bytes);
        }

        // A refusal is never from memory: somebody may have made room.
        return Volatile.Read(ref freeBytes) - Volatile.Read(ref sinceCheck) >= reserveBytes || volume.FreeBytes - bytes >= reserveBytes;
    }

    /// <exception cref="ContentStoreException"><see cref="ContentFailure.StoreFull"/></exception>
    internal void ThrowUnlessRoomFor(long bytes)
    {
        if (!HasRoomFor(bytes))
        {
            throw new ContentStoreException(ContentFailure.StoreFull,
                $"The store has no room for {bytes} more bytes: {volume.FreeBytes} are free and {reserveBytes} are kept in reserve.");
        }
    }

    /// <summary>
    /// Whether the indexes take all they may and this space has more than an equal share of it: then it is refused, and who has less goes on.
    /// </summary>
    internal bool IsIndexFullFor(ContentSpace space)
    {
        if (!isIndexFull && Interlocked.Increment(ref sinceIndexCount) < CountIndexEvery)
        {
            return false;
        }

        Volatile.Write(ref sinceIndexCount, 0);
        long blobs = 0;
        var inUse = 0;
        foreach (var one in spaces.Values)
        {
            var count = one.Index.Count;
            blobs += count;
            inUse += count > 0 ? 1 : 0;
        }

        isIndexFull = blobs * IndexBytesPerBlob > IndexBudget;
        return isIndexFull && space.Index.Count * IndexBytesPerBlob > IndexBudget / inUse;
    }

    /// <exception cref="ContentStoreException"><see cref="ContentFailure.StoreFull"/></exception>
    internal void ThrowIfIndexFullFor(ContentSpace space)
    {
        if (IsIndexFullFor(space))
        {
            throw new ContentStoreException(ContentFailure.StoreFull,
                $"The indexes of this store have the {IndexBudget} bytes of memory they may take, and this part of it has more than its share with {space.Index.Count} blobs. Give it a retention or a smaller quota, or the server more memory.");
        }
    }

    /// <summary>Writes a space's index to the disk, if enough has changed.</summary>
    internal async Task CheckpointAsync(ContentSpace space, bool onlyWhenDue)
    {
        if (!space.NeedsCheckpoint(onlyWhenDue))
        {
            return;
        }

        try
        {
            await space.CheckpointAsync();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ContentStoreException or ObjectDisposedException)
        {
            // The last one, and the log since then, still say everything.
            Report(space, $"The index could not be written: {exception.Message}");
        }
    }

    private void Seal(Segment segment)
    {
        try
        {
            if (segment.TryPin())
            {
                try
                {
                    segment.Seal();
                }
                finally
                {
                    segment.Unpin();
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // Without a footer it is read header by header.
            report($"Segment {segment.Name} could not be sealed: {exception.Message}");
        }
    }

    private async Task RunAsync(TimeSpan housekeeping)
    {
        try
        {
            new StoreLoader(this, volume, report).Load(time.GetUtcNow() - UnfinishedUploads.ResumableFor);
            loaded.SetResult();
        }
        catch (Exception exception)
        {
            report($"The store could not be loaded: {exception.Message}");
            loaded.SetException(exception is IOException or UnauthorizedAccessException
                ? DiskFailure.Translate(exception, "The store can't be loaded")
                : exception);
            return;
        }

        using var timer = new PeriodicTimer(housekeeping, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping.Token))
            {
                SweepUploads();
                foreach (var space in spaces.Values)
                {
                    await KeepHouseAsync(space, stopping.Token);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private void SweepUploads()
    {
        try
        {
            Unfinished.Sweep();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The next round tries again.
            report($"Uploads that nobody resumed could not be deleted: {exception.Message}");
        }
    }

    private async Task KeepHouseAsync(ContentSpace space, CancellationToken cancellationToken)
    {
        try
        {
            await space.Eviction.ExpireAsync(cancellationToken);
            await space.Eviction.CompactAsync(alive: 0.5, cancellationToken);
            await CheckpointAsync(space, onlyWhenDue: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ContentStoreException or ObjectDisposedException)
        {
            // The world's failure (disk full, space dropped); the next round tries again.
            Report(space, $"Housekeeping failed: {exception.Message}");
        }
    }
}
