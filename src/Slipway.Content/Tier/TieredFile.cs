namespace Slipway.Content;

/// <summary>
/// An open segment or large file, wherever its bytes are: on this machine, until the copy here is dropped, and in the bucket. Which of the two
/// may change between two reads.
/// </summary>
internal sealed class TieredFile(TieredVolume volume, LocalCopy copy, uint? segment, long? number, IVolumeFile? local, string name) : IVolumeFile
{
    private IVolumeFile? local = local;
    private bool disposed;

    public bool IsLocal => Volatile.Read(ref local) is not null;

    public string Path => Volatile.Read(ref local)?.Path ?? throw new IOException($"{name} is not on this machine.");

    public long Length => Volatile.Read(ref local)?.Length
        ?? (segment is { } s ? SegmentStub.LengthOf(volume.Disk, SegmentOf(s)) : FileOf(number!.Value).Bytes);

    // A segment's copy here may be dropped while it is open; a large file's may not.
    public FileRange? RangeAt(long offset) => segment is null && Volatile.Read(ref local) is { } here ? here.RangeAt(offset) : null;

    public int Read(Span<byte> buffer, long offset)
    {
        if (Here() is { } here)
        {
            try
            {
                return here.Read(buffer, offset);
            }
            catch (ObjectDisposedException) when (!disposed)
            {
                // Dropped between the look and the read.
            }
        }

        if (segment is { } s && SegmentStub.TryRead(volume.Disk, SegmentOf(s), offset, buffer, out var read))
        {
            return read;
        }

        var bytes = new byte[buffer.Length];
        var count = Wait(ReadRemoteAsync(bytes, offset, CancellationToken.None));
        bytes.AsSpan(0, count).CopyTo(buffer);
        return count;
    }

    public int Read(Memory<byte> head, Memory<byte> rest, long offset)
    {
        if (Here() is { } here)
        {
            try
            {
                return here.Read(head, rest, offset);
            }
            catch (ObjectDisposedException) when (!disposed)
            {
            }
        }

        return Wait(ReadAsync(head, rest, offset, CancellationToken.None));
    }

    public async ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken)
    {
        if (Here() is { } here)
        {
            try
            {
                return await here.ReadAsync(buffer, offset, cancellationToken);
            }
            catch (ObjectDisposedException) when (!disposed)
            {
            }
        }

        return await ReadRemoteAsync(buffer, offset, cancellationToken);
    }

    public async ValueTask<int> ReadAsync(Memory<byte> head, Memory<byte> rest, long offset, CancellationToken cancellationToken)
    {
        if (Here() is { } here)
        {
            try
            {
                return here.Read(head, rest, offset);
            }
            catch (ObjectDisposedException) when (!disposed)
            {
            }
        }

        var read = await ReadRemoteAsync(head, offset, cancellationToken);
        if (read == head.Length && segment is { } s)
        {
            SegmentStub.Renumber(head.Span, SegmentOf(s).Number, s);
        }

        return read < head.Length ? read : read + await ReadRemoteAsync(rest, offset + head.Length, cancellationToken);
    }

    public void Write(ReadOnlySpan<byte> bytes, long offset) => Writable().Write(bytes, offset);

    public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, long offset, CancellationToken cancellationToken) => Writable().WriteAsync(bytes, offset, cancellationToken);

    public void Truncate(long length) => Writable().Truncate(length);

    public void Sync() => Volatile.Read(ref local)?.Sync();

    public void Dispose()
    {
        disposed = true;
        volume.Closed(copy, this);
        Interlocked.Exchange(ref local, null)?.Dispose();
    }

    /// <summary>The copy here is dropped: from now on the bytes come from the bucket.</summary>
    public void LeaveDisk() => Interlocked.Exchange(ref local, null)?.Dispose();

    private IVolumeFile? Here()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        copy.LastRead = Environment.TickCount64;
        return Volatile.Read(ref local);
    }

    private IVolumeFile Writable() => Volatile.Read(ref local) ?? throw new IOException($"{name} is in object storage and can't be written.");

    private async ValueTask<int> ReadRemoteAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken)
    {
        try
        {
            if (segment is { } s)
            {
                var there = SegmentOf(s);
                // -1, the object is gone, is no error but fewer bytes than there should be: the blob is then forgotten.
                return Math.Max(0, await volume.ReadAsync(there, offset, buffer, cancellationToken));
            }

            var file = FileOf(number!.Value);
            var read = await volume.ReadAsync(file, offset, buffer, cancellationToken);
            return read >= 0 ? read : throw new IOException($"{name} is not in object storage any more.");
        }
        catch (ObjectStorageException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    private CatalogSegment SegmentOf(uint local) => volume.Catalog.Segment(local) ?? throw new IOException($"{name} is neither here nor in object storage.");

    private CatalogFile FileOf(long local) => volume.Catalog.File(local) ?? throw new IOException($"{name} is neither here nor in object storage.");

    // Only what runs in the background reads without awaiting: compaction, eviction, listings.
    private static int Wait(ValueTask<int> read) => read.IsCompletedSuccessfully ? read.Result : read.AsTask().GetAwaiter().GetResult();
}

/// <summary>What is known of a file's copy on this machine.</summary>
internal sealed class LocalCopy
{
    /// <summary>Open handles; also the lock for opening and dropping.</summary>
    public List<TieredFile> Open { get; } = [];

    /// <summary><see cref="Environment.TickCount64"/>; 0: not since this process started.</summary>
    public long LastRead { get; set; }
}
