using System.Buffers;

namespace Slipway.Content;

/// <summary>
/// A large blob on its way into a space: a file in "uploads" that gets its place when it is committed. Writes are gathered in one rented
/// buffer and handed to the kernel on another thread while the caller hashes the next bytes. Not safe for concurrent use.
/// </summary>
public sealed class LargeUpload : IAsyncDisposable
{
    // Measured on 2 cores: from 256 KiB on, larger buffers write no faster; with 1,000 uploads open it is 256 MiB.
    private const int BufferSize = 256 * 1024;

    // An inode and a directory entry: a file of one byte is not for nothing.
    private const long FileCost = 4096;

    private readonly ContentSpace space;
    private readonly IVolume volume;
    private readonly string name;
    private readonly bool keep;
    private readonly IVolumeFile file;
    private byte[]? buffer;
    private int buffered;
    private byte[]? writing;
    private ValueTask write;
    private uint crc = uint.MaxValue;
    private long flushed;
    private long counted;
    private State state;

    internal LargeUpload(ContentSpace space, IVolume volume, string name, bool keep)
    {
        this.space = space;
        this.volume = volume;
        this.name = name;
        this.keep = keep;
        if (keep && volume.Exists(name))
        {
            file = volume.Open(name, forWriting: true);
            flushed = ResumedLength = file.Length;
            counted = FileCost + flushed;
            space.Store.Unfinished.Resume(name, space, counted);
        }
        else
        {
            file = volume.Create(name);
            space.CountUnfinished(counted = FileCost);
        }
    }

    private enum State
    {
        Open,
        Failed,
        Committed,
        Disposed,
    }

    /// <summary>Bytes that an earlier upload of this name has left; the caller reads them back with <see cref="ReadResumedAsync"/> to go on hashing.</summary>
    public long ResumedLength { get; private set; }

    public long BytesWritten => flushed + (writing is null ? 0 : writingLength) + buffered;

    private int writingLength;

    /// <summary>Hands out the bytes that are there already, from the start. Has to be called once when <see cref="ResumedLength"/> is not 0.</summary>
    public async ValueTask ReadResumedAsync(Func<ReadOnlyMemory<byte>, ValueTask> consume, CancellationToken cancellationToken)
    {
        var block = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            for (long at = 0; at < ResumedLength;)
            {
                var read = await file.ReadAsync(block.AsMemory(0, (int)Math.Min(block.Length, ResumedLength - at)), at, cancellationToken);
                if (read == 0)
                {
                    throw new ContentStoreException(ContentFailure.Unavailable, "The upload's file became shorter while it was read.");
                }

                crc = Crc32C.Append(crc, block.AsSpan(0, read));
                await consume(block.AsMemory(0, read));
                at += read;
            }
        }
        catch (IOException exception)
        {
            throw DiskFailure.Translate(exception, "The upload can't be resumed");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(block);
        }
    }

    /// <summary>Forgets what is there and starts anew.</summary>
    public void Restart()
    {
        file.Truncate(0);
        flushed = ResumedLength = 0;
        space.CountUnfinished(FileCost - counted);
        counted = FileCost;
        buffered = 0;
        crc = uint.MaxValue;
    }

    /// <exception cref="ContentStoreException"><see cref="ContentFailure.StoreFull"/> or <see cref="ContentFailure.QuotaExhausted"/>.</exception>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        ThrowUnlessOpen();
        while (bytes.Length > 0)
        {
            if (buffered == BufferSize)
            {
                await FlushAsync(cancellationToken);
            }

            buffer ??= ArrayPool<byte>.Shared.Rent(BufferSize);
            var taken = Math.Min(bytes.Length, BufferSize - buffered);
            bytes[..taken].CopyTo(buffer.AsMemory(buffered));
            buffered += taken;
            bytes = bytes[taken..];
        }
    }

    /// <summary>Makes the blob visible under a key that the caller has verified. An equal blob that is here already is replaced.</summary>
    /// <param name="length">Uncompressed.</param>
    public async ValueTask CommitAsync(BlobKey key, BlobCodec codec, long length, Durability durability, CancellationToken cancellationToken)
    {
        ThrowUnlessOpen();
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, ContentSpace.MaxLength);
        await FlushAsync(cancellationToken);
        await LandAsync();
        state = State.Failed;
        await space.MakeRoomAsync(Record.SizeOf(Record.LargeSize), cancellationToken);
        var large = new LargeFile(space.Store.NextFileNumber(), flushed, ~crc);
        var place = LargeFile.NameOf(large.Number);
        try
        {
            volume.Rename(name, place);
            space.Sync.WroteFile(place);
            // The bytes before the record that names them, whatever the durability: a record in the log is then proof of its file, and a
            // restart need not read gigabytes to know. Beside the writing of a megabyte a sync is small.
            await space.SyncAsync(cancellationToken);
            var payload = new byte[Record.LargeSize];
            large.WriteTo(payload);
            var record = new Record(RecordKind.Large, key, codec, payload.Length, length, space.Now, Crc32C.Of(payload));
            // From here on the record may be in the log, whatever happens: the file must stay.
            state = State.Committed;
            Uncount();
            await space.Writer.AppendAsync(record, payload, large, replaces: null);
            if (durability == Durability.Synced)
            {
                await space.SyncAsync(cancellationToken);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw DiskFailure.Translate(exception, $"The blob {key} can't be published");
        }
    }

    /// <summary>Forgets the upload, also one that could be resumed.</summary>
    public async ValueTask DiscardAsync()
    {
        var wasCommitted = state == State.Committed;
        await DisposeAsync();
        if (keep && !wasCommitted)
        {
            Delete();
        }
    }

    /// <summary>Without a commit: keeps what was written when the upload has a name to resume by, else forgets it.</summary>
    public async ValueTask DisposeAsync()
    {
        if (state == State.Disposed)
        {
            return;
        }

        var wasCommitted = state == State.Committed;
        if (keep && state == State.Open)
        {
            try
            {
                await FlushAsync(CancellationToken.None);
            }
            catch (ContentStoreException)
            {
                // The client resumes from what did get there.
            }
        }

        state = State.Disposed;
        try
        {
            await LandAsync();
        }
        catch (ContentStoreException)
        {
            // The upload is given up; its owner has seen the error.
        }

        file.Dispose();
        if (buffer is { } rented)
        {
            buffer = null;
            ArrayPool<byte>.Shared.Return(rented);
        }

        if (wasCommitted)
        {
            return;
        }

        if (keep && flushed > 0)
        {
            space.Store.Unfinished.Keep(name, space, counted);
            counted = 0;
        }
        else
        {
            Delete();
        }
    }

    // Hands the full buffer to the kernel on another thread; the one before must have arrived.
    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (buffered == 0)
        {
            return;
        }

        await LandAsync();
        space.Store.ThrowUnlessRoomFor(buffered);
        // What was flushed before is counted already.
        if (space.IsOverQuotaWith(buffered))
        {
            await space.MakeRoomAsync(buffered, cancellationToken);
        }

        crc = Crc32C.Append(crc, buffer.AsSpan(0, buffered));
        writing = buffer;
        writingLength = buffered;
        buffer = null;
        buffered = 0;
        // A write is not cancelled half-way: the bytes in the file must be those that were counted.
        write = file.WriteAsync(writing.AsMemory(0, writingLength), flushed, CancellationToken.None);
    }

    private async ValueTask LandAsync()
    {
        if (writing is not { } landing)
        {
            return;
        }

        writing = null;
        try
        {
            await write;
            flushed += writingLength;
            counted += writingLength;
            space.CountUnfinished(writingLength);
        }
        catch (IOException exception)
        {
            state = state == State.Disposed ? state : State.Failed;
            throw DiskFailure.Translate(exception, "The upload can't be written");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(landing);
        }
    }

    private void Uncount()
    {
        space.Store.Unfinished.Forget(name);
        space.CountUnfinished(-counted);
        counted = 0;
    }

    private void Delete()
    {
        Uncount();
        try
        {
            volume.Delete(name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The sweep at the next opening of the store takes it; hiding the caller's own error would be worse.
        }
    }

    private void ThrowUnlessOpen()
    {
        ObjectDisposedException.ThrowIf(state == State.Disposed, this);
        if (state != State.Open)
        {
            throw new InvalidOperationException("This upload is committed or has failed; begin a new one.");
        }
    }
}
