using System.Runtime.CompilerServices;
using Slipway.Native;

namespace Slipway.Content;

/// <summary>
/// One file per blob on a local disk.
/// <code>
///   &lt;path&gt;/store              what this folder is: layout version and store id
///   &lt;path&gt;/lock               flock of the process that has the store open
///   &lt;path&gt;/uploads/&lt;n&gt;        bytes of uploads that are not committed
///   &lt;path&gt;/blobs/ab/ab12…ef   a blob; its modification time is when it was published
/// </code>
/// Crash rules and the order of syncs: README.md beside this file.
/// </summary>
internal sealed class DiskContentStore : IContentStore, IAsyncDisposable
{
    private const string Layout = "slipway content store, layout 1";

    // Syncs block a thread each, for as long as the disk likes. Measured on a virtual disk with ext4: 4 at a time reach its
    // limit, more gain nothing; 8 leaves room for a few slow ones (a large archive) beside many quick ones.
    private const int MaxConcurrentCommits = 8;

    private readonly string uploads;
    private readonly string blobs;
    private readonly TimeProvider time;
    private readonly FileLock folderLock;
    private readonly SemaphoreSlim commits = new(MaxConcurrentCommits);

    // Publishing and deleting one digest exclude each other; held for two system calls, never across a sync.
    private readonly Lock[] stripes = [.. Enumerable.Range(0, 64).Select(_ => new Lock())];
    private long lastUpload;
    private volatile bool disposed;

    private DiskContentStore(string path, TimeProvider time, FileLock folderLock)
    {
        RootPath = path;
        uploads = Path.Combine(path, "uploads");
        blobs = Path.Combine(path, "blobs");
        this.time = time;
        this.folderLock = folderLock;
    }

    public string RootPath { get; }

    /// <summary>Bytes this process may still write to the disk.</summary>
    public long FreeBytes => new DriveInfo(RootPath).AvailableFreeSpace;

    /// <summary>Opens the folder, makes it a store when it is new, and removes what dead uploads left behind.</summary>
    public static DiskContentStore Open(Guid storeId, string path, TimeProvider time, out int sweptUploads)
    {
        FileLock? folderLock = null;
        try
        {
            Directory.CreateDirectory(path);
            folderLock = Posix.TryLock(Path.Combine(path, "lock")) ?? throw new ContentStoreException(ContentFailure.Unavailable,
                $"The store at {path} is in use by another process. Stop that one, or give this one a folder of its own.");
            var store = new DiskContentStore(path, time, folderLock);
            store.CheckOrWriteIdentity(storeId);
            store.CreateFolders();
            sweptUploads = store.SweepUploads();
            return store;
        }
        catch (Exception exception)
        {
            folderLock?.Dispose();
            if (exception is IOException or UnauthorizedAccessException)
            {
                throw DiskFailure.Translate(exception, $"The store at {path} can't be opened");
            }

            throw;
        }
    }

    public ValueTask<IContentUpload> BeginUploadAsync(long? expectedBytes, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        cancellationToken.ThrowIfCancellationRequested();
        var path = Path.Combine(uploads, Interlocked.Increment(ref lastUpload).ToString(System.Globalization.CultureInfo.InvariantCulture));
        try
        {
            return ValueTask.FromResult<IContentUpload>(new DiskContentUpload(this, path));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, "The upload can't be started");
        }
    }

    /// <summary>
    /// Takes over a complete file in the uploads folder. When this returns, the blob is durable and visible; when it throws,
    /// the caller still has to remove the file.
    /// </summary>
    public async Task PublishAsync(string uploadPath, Microsoft.Win32.SafeHandles.SafeFileHandle file, Digest digest, CancellationToken cancellationToken)
    {
        await commits.WaitAsync(cancellationToken);
        try
        {
            // A thread of its own: a pool thread stuck in fsync is one that serves no requests. From here on nothing is
            // cancelled: a half-done publish saves nobody anything.
            await Task.Factory.StartNew(() => Publish(uploadPath, file, digest), CancellationToken.None,
                TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);
        }
        finally
        {
            commits.Release();
        }
    }

    public ValueTask<IContentReader?> OpenAsync(Digest digest, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var path = PathOf(digest);
        try
        {
            // The check first, as a miss is no exception; the exception all the same, for a blob deleted in between.
            return ValueTask.FromResult<IContentReader?>(File.Exists(path) ? new DiskContentReader(path) : null);
        }
        catch (FileNotFoundException)
        {
            return ValueTask.FromResult<IContentReader?>(null);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, $"The blob {digest} can't be opened");
        }
    }

    public ValueTask<IReadOnlyList<Digest>> FindMissingAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellationToken)
    {
        List<Digest> missing = [];
        foreach (var digest in digests)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!File.Exists(PathOf(digest)))
            {
                missing.Add(digest);
            }
        }

        return ValueTask.FromResult<IReadOnlyList<Digest>>(missing);
    }

    public ValueTask<bool> DeleteAsync(Digest digest, DateTimeOffset publishedBefore, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var file = new FileInfo(PathOf(digest));
        try
        {
            lock (StripeOf(digest))
            {
                if (!file.Exists || file.LastWriteTimeUtc >= publishedBefore.UtcDateTime)
                {
                    return ValueTask.FromResult(false);
                }

                // Not synced: a deletion undone by a power cut is found by the next sweep.
                file.Delete();
                return ValueTask.FromResult(true);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, $"The blob {digest} can't be deleted");
        }
    }

    public async IAsyncEnumerable<StoredContent> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var folder in Directory.EnumerateDirectories(blobs))
        {
            // One folder (1/256 of the store) at a time, off the caller's thread.
            foreach (var stored in await Task.Run(() => ListFolder(folder), cancellationToken))
            {
                yield return stored;
            }

            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    public async ValueTask<StoreHealth> ProbeAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await Task.Run(() =>
            {
                using (var probe = File.OpenHandle(Path.Combine(uploads, $"probe-{Guid.NewGuid():n}"), FileMode.CreateNew,
                    FileAccess.Write, FileShare.None, FileOptions.DeleteOnClose))
                {
                    RandomAccess.Write(probe, "slipway"u8, 0);
                    RandomAccess.FlushToDisk(probe);
                }

                return new StoreHealth(Writable: true, FreeBytes, Problem: null);
            }, cancellationToken);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new StoreHealth(Writable: false, 0, DiskFailure.Translate(exception, $"The store at {RootPath} can't be written").Message);
        }
    }

    public ValueTask DisposeAsync()
    {
        disposed = true;
        folderLock.Dispose();
        return ValueTask.CompletedTask;
    }

    private void Publish(string uploadPath, Microsoft.Win32.SafeHandles.SafeFileHandle file, Digest digest)
    {
        try
        {
            // 1. The bytes, before any name points at them.
            RandomAccess.FlushToDisk(file);
            ObjectDisposedException.ThrowIf(disposed, this);
            lock (StripeOf(digest))
            {
                // 2. The time and the name together, so that no delete can slip between them. Replacing a blob that exists
                //    is on purpose: it renews the time, and heals a file that has rotted.
                File.SetLastWriteTimeUtc(file, time.GetUtcNow().UtcDateTime);
                File.Move(uploadPath, PathOf(digest), overwrite: true);
            }

            // 3. The time, then the name: both belong to one journal transaction, so the second sync finds little to do.
            RandomAccess.FlushToDisk(file);
            Posix.SyncDirectory(FolderOf(digest));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, $"The blob {digest} can't be published");
        }
    }

    private static List<StoredContent> ListFolder(string folder)
    {
        List<StoredContent> blobs = [];
        foreach (var file in new DirectoryInfo(folder).EnumerateFiles())
        {
            // Exists asks the disk: the blob may have been deleted since the folder was read.
            if (Digest.TryParse(file.Name, out var digest) && file.Exists)
            {
                blobs.Add(new StoredContent(digest, file.Length, new DateTimeOffset(file.LastWriteTimeUtc, TimeSpan.Zero)));
            }
        }

        return blobs;
    }

    private void CheckOrWriteIdentity(Guid storeId)
    {
        var path = Path.Combine(RootPath, "store");
        var wanted = $"{Layout}\n{storeId}\n";
        if (File.Exists(path))
        {
            var found = File.ReadAllText(path);
            if (found != wanted)
            {
                throw new ContentStoreException(ContentFailure.Unavailable,
                    $"The folder {RootPath} is not that of store {storeId}: its file 'store' says '{found.ReplaceLineEndings(" ").Trim()}'. Is the right disk mounted?");
            }

            return;
        }

        // Through a rename, as a half-written identity would lock the owner out.
        var draft = path + ".new";
        File.WriteAllText(draft, wanted);
        using (var handle = File.OpenHandle(draft, FileMode.Open, FileAccess.Write))
        {
            RandomAccess.FlushToDisk(handle);
        }

        File.Move(draft, path, overwrite: true);
        Posix.SyncDirectory(RootPath);
    }

    // All 256 folders up front: a publish never has to make one durable first.
    private void CreateFolders()
    {
        if (Directory.Exists(uploads))
        {
            return;
        }

        for (var first = 0; first < 256; first++)
        {
            Directory.CreateDirectory(Path.Combine(blobs, first.ToString("x2", System.Globalization.CultureInfo.InvariantCulture)));
        }

        Posix.SyncDirectory(blobs);

        // What is in here is for this server only.
        const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        File.SetUnixFileMode(blobs, OwnerOnly);

        // Last, as its presence says that the others are there.
        Directory.CreateDirectory(uploads, OwnerOnly);
        Posix.SyncDirectory(RootPath);
    }

    private int SweepUploads()
    {
        var swept = 0;
        foreach (var file in Directory.EnumerateFiles(uploads))
        {
            File.Delete(file);
            swept++;
        }

        return swept;
    }

    private Lock StripeOf(Digest digest) => stripes[digest.AsSpan()[0] % stripes.Length];

    private string FolderOf(Digest digest) => Path.Combine(blobs, digest.ToString()[..2]);

    private string PathOf(Digest digest)
    {
        var name = digest.ToString();
        return Path.Join(blobs, name.AsSpan(0, 2), name);
    }
}
