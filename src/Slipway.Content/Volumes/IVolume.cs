namespace Slipway.Content;

/// <summary>
/// The files of one store, by names relative to its folder ("segments/0000002a"). There are two: the disk, and one for tests that
/// loses what was not synced and tears what was being written, which is how the crash rules are proven.
/// </summary>
/// <remarks>Failures are <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>, as the system's own are.</remarks>
internal interface IVolume
{
    /// <summary>Bytes this process may still write.</summary>
    long FreeBytes { get; }

    /// <summary>Makes an empty file, which must not be there yet. Its name is durable after <see cref="SyncFolder"/>.</summary>
    IVolumeFile Create(string name);

    /// <exception cref="FileNotFoundException">It is not there.</exception>
    IVolumeFile Open(string name, bool forWriting);

    bool Exists(string name);

    /// <summary>Every file in a folder; none when there is no such folder.</summary>
    IReadOnlyList<VolumeEntry> List(string folder);

    void CreateFolder(string folder);

    /// <summary>Replaces what has the new name.</summary>
    void Rename(string from, string to);

    /// <summary>No error when it isn't there.</summary>
    void Delete(string name);

    /// <summary>Makes durable which names a folder holds.</summary>
    void SyncFolder(string folder);

    /// <summary>Another server's file, seen through object storage: read, never rewritten or evicted by this server.</summary>
    bool IsForeign(string name) => false;
}

/// <summary>An open file. Reads and writes at offsets may run at once.</summary>
internal interface IVolumeFile : IDisposable
{
    /// <summary>Where the operating system finds it, for sendfile.</summary>
    string Path { get; }

    long Length { get; }

    /// <summary>Reads until the buffer is full or the file ends.</summary>
    int Read(Span<byte> buffer, long offset);

    /// <summary>One system call for both, in this order: a record's header and its payload.</summary>
    int Read(Memory<byte> head, Memory<byte> rest, long offset);

    ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken);

    /// <summary>The bytes are on this machine, so that reading them takes no time worth freeing a thread for.</summary>
    bool IsLocal => true;

    /// <summary>What <see cref="Read(Memory{byte}, Memory{byte}, long)"/> does, for files that are not local.</summary>
    ValueTask<int> ReadAsync(Memory<byte> head, Memory<byte> rest, long offset, CancellationToken cancellationToken) => new(Read(head, rest, offset));

    /// <summary>Where the kernel can take the bytes from while this file is open; null when nowhere.</summary>
    FileRange? RangeAt(long offset) => new FileRange(Path, offset);

    void Write(ReadOnlySpan<byte> bytes, long offset);

    ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, long offset, CancellationToken cancellationToken);

    void Truncate(long length);

    /// <summary>Returns when the bytes and the length are on the disk.</summary>
    void Sync();
}

/// <summary>A file in a folder, by its name there.</summary>
internal readonly record struct VolumeEntry(string Name, long Length, DateTimeOffset ModifiedAt);
