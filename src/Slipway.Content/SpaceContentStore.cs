using System.Buffers;
using System.Runtime.CompilerServices;
using Slipway.Native;

namespace Slipway.Content;

/// <summary>
/// A space as a plain store: bytes under their SHA-256, durable when acknowledged, nothing ever evicted. An upload is gathered in memory
/// while it is small and becomes a file when it is not.
/// </summary>
internal sealed class SpaceContentStore(ContentSpace space, long reserveBytes) : IContentStore
{
    public async ValueTask<IContentUpload> BeginUploadAsync(long? expectedBytes, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(space.IsDropped, space);
        await space.Store.Loaded.WaitAsync(cancellationToken);
        space.Store.ThrowUnlessRoomFor(expectedBytes ?? 0);
        return new Upload(space);
    }

    public async ValueTask<IContentReader?> OpenAsync(Digest digest, CancellationToken cancellationToken)
    {
        if (!space.Store.IsLoaded)
        {
            await space.Store.Loaded.WaitAsync(cancellationToken);
        }

        return space.TryFind(KeyOf(digest), out var info) ? await space.OpenAsync(info, cancellationToken) : null;
    }

    public async ValueTask<IReadOnlyList<Digest>> FindMissingAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellationToken)
    {
        await space.Store.Loaded.WaitAsync(cancellationToken);
        return [.. digests.Where(digest => !space.TryFind(KeyOf(digest), out _))];
    }

    public async ValueTask<bool> DeleteAsync(Digest digest, DateTimeOffset publishedBefore, CancellationToken cancellationToken)
    {
        await space.Store.Loaded.WaitAsync(cancellationToken);
        return space.RemoveUnused(KeyOf(digest), publishedBefore);
    }

    public async IAsyncEnumerable<StoredContent> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await space.Store.Loaded.WaitAsync(cancellationToken);
        foreach (var blob in space.List())
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return new StoredContent(blob.Info.Key.Hash, blob.StoredLength, blob.Info.LastUsed);
        }
    }

    public async ValueTask<StoreHealth> ProbeAsync(CancellationToken cancellationToken)
    {
        try
        {
            var free = await Task.Run(() =>
            {
                var name = $"uploads/probe-{Guid.NewGuid():n}";
                using (var probe = space.Store.Volume.Create(name))
                {
                    probe.Write("slipway"u8, 0);
                    probe.Sync();
                }

                space.Store.Volume.Delete(name);
                return space.Store.Volume.FreeBytes;
            }, cancellationToken);
            var usable = Math.Max(0, free - reserveBytes);
            return usable > 0
                ? new StoreHealth(Writable: true, usable, Problem: null)
                : new StoreHealth(Writable: false, 0, $"Only {free} bytes are free and {reserveBytes} are kept in reserve: uploads are refused.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new StoreHealth(Writable: false, 0, DiskFailure.Translate(exception, "The store can't be written").Message);
        }
    }

    private static BlobKey KeyOf(Digest digest) => new(BlobKind.Sha256, digest);

    private sealed class Upload(ContentSpace space) : IContentUpload
    {
        private readonly Sha256 hash = new();
        private byte[] small = [];
        private int gathered;
        private LargeUpload? large;
        private State state;

        private enum State
        {
            Open,
            Failed,
            Disposed,
        }

        public long BytesWritten => large?.BytesWritten ?? gathered;

        public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
        {
            ThrowUnlessOpen();
            cancellationToken.ThrowIfCancellationRequested();
            // Whatever goes wrong in here, bytes and hash may be at odds: only a complete write reopens the upload.
            state = State.Failed;
            hash.Append(bytes.Span);
            if (large is null && gathered + bytes.Length <= ContentSpace.MaxSmall)
            {
                Gather(bytes.Span);
            }
            else
            {
                if (large is null)
                {
                    large = space.BeginLarge(resumeName: null);
                    await large.WriteAsync(small.AsMemory(0, gathered), cancellationToken);
                    Return();
                }

                await large.WriteAsync(bytes, cancellationToken);
            }

            state = State.Open;
        }

        public async ValueTask<Digest> CommitAsync(Digest? expected, CancellationToken cancellationToken)
        {
            ThrowUnlessOpen();

            // Whatever happens next, this upload takes no more bytes and no second commit.
            state = State.Failed;
            var digest = Finish();
            if (expected is { } wanted && wanted != digest)
            {
                throw new ContentStoreException(ContentFailure.DigestMismatch,
                    $"The {BytesWritten} bytes have the SHA-256 {digest}, not {wanted} as announced.");
            }

            var key = KeyOf(digest);
            if (large is not null)
            {
                await large.CommitAsync(key, BlobCodec.Raw, large.BytesWritten, Durability.Synced, cancellationToken);
                return digest;
            }

            // What is here already is not written again, so it is looked at: rotten bytes are forgotten, and these take their place.
            if (space.TryFind(key, out var known) && !known.IsLarge)
            {
                var there = ArrayPool<byte>.Shared.Rent(Math.Max(1, known.StoredLength));
                await space.ReadAsync(known, there.AsMemory(0, known.StoredLength), cancellationToken);
                ArrayPool<byte>.Shared.Return(there);
            }

            await space.PutAsync(key, small.AsMemory(0, gathered), BlobCodec.Raw, gathered, Durability.Synced, cancellationToken);
            return digest;
        }

        public async ValueTask DisposeAsync()
        {
            if (state == State.Disposed)
            {
                return;
            }

            state = State.Disposed;
            Return();
            if (large is not null)
            {
                await large.DisposeAsync();
            }
        }

        private void Gather(ReadOnlySpan<byte> bytes)
        {
            if (gathered + bytes.Length > small.Length)
            {
                var grown = ArrayPool<byte>.Shared.Rent(Math.Max(gathered + bytes.Length, small.Length * 2));
                small.AsSpan(0, gathered).CopyTo(grown);
                var before = gathered;
                Return();
                small = grown;
                gathered = before;
            }

            bytes.CopyTo(small.AsSpan(gathered));
            gathered += bytes.Length;
        }

        private void Return()
        {
            if (small.Length > 0)
            {
                ArrayPool<byte>.Shared.Return(small);
                small = [];
            }

            gathered = 0;
        }

        private Digest Finish()
        {
            Span<byte> bytes = stackalloc byte[Digest.Size];
            hash.GetHashAndReset(bytes);
            return Digest.FromBytes(bytes);
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
}
