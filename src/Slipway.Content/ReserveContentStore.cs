namespace Slipway.Content;

/// <summary>Refuses uploads that would leave less than the reserve free on the disk.</summary>
internal sealed class ReserveContentStore(IContentStore inner, long reserveBytes, Func<long> freeBytes) : IContentStore
{
    // An upload of unknown size is checked again after so many bytes. The reserve may so be undercut by 16 MiB for each
    // running upload, which is what it is there for; asking the disk (2 µs) is then lost beside the writing (10 ms).
    private const long CheckEvery = 16L << 20;

    public async ValueTask<IContentUpload> BeginUploadAsync(long? expectedBytes, CancellationToken cancellationToken)
    {
        ThrowUnlessFree(expectedBytes ?? 0);
        return new Upload(this, await inner.BeginUploadAsync(expectedBytes, cancellationToken));
    }

    public ValueTask<IContentReader?> OpenAsync(Digest digest, CancellationToken cancellationToken) =>
        inner.OpenAsync(digest, cancellationToken);

    public ValueTask<IReadOnlyList<Digest>> FindMissingAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellationToken) =>
        inner.FindMissingAsync(digests, cancellationToken);

    public ValueTask<bool> DeleteAsync(Digest digest, DateTimeOffset publishedBefore, CancellationToken cancellationToken) =>
        inner.DeleteAsync(digest, publishedBefore, cancellationToken);

    public IAsyncEnumerable<StoredContent> ListAsync(CancellationToken cancellationToken) => inner.ListAsync(cancellationToken);

    public async ValueTask<StoreHealth> ProbeAsync(CancellationToken cancellationToken)
    {
        var health = await inner.ProbeAsync(cancellationToken);
        if (!health.Writable)
        {
            return health;
        }

        var usable = Math.Max(0, health.FreeBytes - reserveBytes);
        return usable > 0
            ? health with { FreeBytes = usable }
            : new StoreHealth(Writable: false, 0,
                $"Only {health.FreeBytes} bytes are free and {reserveBytes} are kept in reserve: uploads are refused.");
    }

    private void ThrowUnlessFree(long bytes)
    {
        var free = freeBytes();
        if (free - bytes < reserveBytes)
        {
            throw new ContentStoreException(ContentFailure.StoreFull,
                $"The store has no room for {bytes} more bytes: {free} are free and {reserveBytes} are kept in reserve.");
        }
    }

    private sealed class Upload(ReserveContentStore store, IContentUpload inner) : IContentUpload
    {
        private long nextCheck = CheckEvery;

        public long BytesWritten => inner.BytesWritten;

        public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
        {
            if (inner.BytesWritten + bytes.Length >= nextCheck)
            {
                store.ThrowUnlessFree(bytes.Length);
                nextCheck = inner.BytesWritten + bytes.Length + CheckEvery;
            }

            return inner.WriteAsync(bytes, cancellationToken);
        }

        public ValueTask<Digest> CommitAsync(Digest? expected, CancellationToken cancellationToken) =>
            inner.CommitAsync(expected, cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
