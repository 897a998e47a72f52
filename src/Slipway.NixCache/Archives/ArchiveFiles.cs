using System.Collections.Concurrent;
using Slipway.Data;

namespace Slipway.NixCache;

/// <summary>
/// The bytes of archives on their way in: one append-only file each, named by the archive's id, outside every store.
/// </summary>
internal sealed class ArchiveFiles
{
    private readonly ConcurrentDictionary<Guid, byte> writing = new();
    private readonly string folder;

    public ArchiveFiles(NixCacheOptions options)
    {
        folder = options.UploadFolder;
        Directory.CreateDirectory(folder);
        // What tenants send is nobody else's business on this machine; the data folder above is passable for the engines.
        File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>Free bytes of the disk the archives arrive on.</summary>
    public long FreeBytes => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>Bytes held, made durable before they are told: a client will not send them again.</summary>
    public long DurableLength(Guid archive)
    {
        using var file = new FileStream(PathOf(archive), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        file.Flush(flushToDisk: true);
        return file.Length;
    }

    /// <summary>The file at its end, or null when another request is writing it.</summary>
    public ArchiveAppend? TryAppend(Guid archive) => writing.TryAdd(archive, 0)
        ? new ArchiveAppend(new FileStream(PathOf(archive), FileMode.Append, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0), () => writing.TryRemove(archive, out _))
        : null;

    public FileStream? OpenForReading(Guid archive)
    {
        try
        {
            return new FileStream(PathOf(archive), new FileStreamOptions
            {
                Mode = FileMode.Open,
                Access = FileAccess.Read,
                Share = FileShare.ReadWrite | FileShare.Delete,
                BufferSize = 256 << 10,
                Options = FileOptions.Asynchronous | FileOptions.SequentialScan,
            });
        }
        catch (FileNotFoundException)
        {
            return null;
        }
    }

    public void Delete(Guid archive) => File.Delete(PathOf(archive));

    /// <summary>Archives that have a file here, whatever the database says of them.</summary>
    public IEnumerable<Guid> List()
    {
        foreach (var path in Directory.EnumerateFiles(folder))
        {
            if (EntityId.TryRead("arc", Path.GetFileName(path), out var archive))
            {
                yield return archive;
            }
        }
    }

    private string PathOf(Guid archive) => Path.Combine(folder, EntityId.Show("arc", archive));
}

/// <summary>One writer's hold on an archive's file.</summary>
internal sealed class ArchiveAppend(FileStream file, Action release) : IAsyncDisposable
{
    public long Length => file.Length;

    public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken) => file.WriteAsync(bytes, cancellationToken);

    public void MakeDurable() => file.Flush(flushToDisk: true);

    public async ValueTask DisposeAsync()
    {
        await file.DisposeAsync();
        release();
    }
}

/// <summary>Wakes requests that wait for an archive to finish.</summary>
internal sealed class ArchiveWaiters
{
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> waiting = new();

    /// <summary>Completes when <paramref name="archive"/> is next reported finished. Ask before looking at its state.</summary>
    public Task Finished(Guid archive) =>
        waiting.GetOrAdd(archive, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    public void Wake(Guid archive)
    {
        if (this.waiting.TryRemove(archive, out var waiting))
        {
            waiting.SetResult();
        }
    }
}
