using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Slipway.Content;

/// <summary>Counts what callers ask of a store and how it went, in the meter "Slipway.Content".</summary>
internal sealed class MeteredContentStore : IContentStore
{
    private readonly IContentStore inner;
    private readonly TimeProvider time;
    private readonly KeyValuePair<string, object?> store;
    private readonly Counter<long> uploads;
    private readonly Counter<long> uploadedBytes;
    private readonly Histogram<double> commitSeconds;
    private readonly Counter<long> opens;
    private readonly Counter<long> deletes;

    public MeteredContentStore(IContentStore inner, Meter meter, string name, TimeProvider time)
    {
        this.inner = inner;
        this.time = time;
        store = new KeyValuePair<string, object?>("store", name);
        uploads = meter.CreateCounter<long>("slipway.content.uploads", "{upload}", "Uploads by how they ended.");
        uploadedBytes = meter.CreateCounter<long>("slipway.content.uploaded", "By", "Bytes of committed uploads.");
        commitSeconds = meter.CreateHistogram<double>("slipway.content.commit.duration", "s", "Time to make an upload durable and visible.");
        opens = meter.CreateCounter<long>("slipway.content.opens", "{blob}", "Blobs asked for, found or not.");
        deletes = meter.CreateCounter<long>("slipway.content.deletes", "{blob}", "Blobs deleted.");
    }

    public async ValueTask<IContentUpload> BeginUploadAsync(long? expectedBytes, CancellationToken cancellationToken)
    {
        try
        {
            return new Upload(this, await inner.BeginUploadAsync(expectedBytes, cancellationToken));
        }
        catch (ContentStoreException exception)
        {
            CountUpload(exception.Failure);
            throw;
        }
    }

    public async ValueTask<IContentReader?> OpenAsync(Digest digest, CancellationToken cancellationToken)
    {
        var reader = await inner.OpenAsync(digest, cancellationToken);
        opens.Add(1, store, new KeyValuePair<string, object?>("found", reader is not null));
        return reader;
    }

    public ValueTask<IReadOnlyList<Digest>> FindMissingAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellationToken) =>
        inner.FindMissingAsync(digests, cancellationToken);

    public async ValueTask<bool> DeleteAsync(Digest digest, DateTimeOffset publishedBefore, CancellationToken cancellationToken)
    {
        var deleted = await inner.DeleteAsync(digest, publishedBefore, cancellationToken);
        if (deleted)
        {
            deletes.Add(1, store);
        }

        return deleted;
    }

    public IAsyncEnumerable<StoredContent> ListAsync(CancellationToken cancellationToken) => inner.ListAsync(cancellationToken);

    public ValueTask<StoreHealth> ProbeAsync(CancellationToken cancellationToken) => inner.ProbeAsync(cancellationToken);

    private void CountUpload(ContentFailure failure) => CountUpload(failure switch
    {
        ContentFailure.StoreFull => "store_full",
        ContentFailure.QuotaExhausted => "quota_exhausted",
        ContentFailure.DigestMismatch => "digest_mismatch",
        ContentFailure.Unavailable => "unavailable",
        _ => throw new UnreachableException(),
    });

    private void CountUpload(string outcome) => uploads.Add(1, store, new KeyValuePair<string, object?>("outcome", outcome));

    private sealed class Upload(MeteredContentStore store, IContentUpload inner) : IContentUpload
    {
        private bool counted;

        public long BytesWritten => inner.BytesWritten;

        public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
        {
            try
            {
                await inner.WriteAsync(bytes, cancellationToken);
            }
            catch (ContentStoreException exception)
            {
                CountFailure(exception.Failure);
                throw;
            }
        }

        public async ValueTask<Digest> CommitAsync(Digest? expected, CancellationToken cancellationToken)
        {
            var started = store.time.GetTimestamp();
            try
            {
                var digest = await inner.CommitAsync(expected, cancellationToken);
                counted = true;
                store.CountUpload("committed");
                store.uploadedBytes.Add(inner.BytesWritten, store.store);
                store.commitSeconds.Record(store.time.GetElapsedTime(started).TotalSeconds, store.store);
                return digest;
            }
            catch (ContentStoreException exception)
            {
                CountFailure(exception.Failure);
                throw;
            }
        }

        public ValueTask DisposeAsync()
        {
            if (!counted)
            {
                counted = true;
                store.CountUpload("abandoned");
            }

            return inner.DisposeAsync();
        }

        private void CountFailure(ContentFailure failure)
        {
            if (!counted)
            {
                counted = true;
                store.CountUpload(failure);
            }
        }
    }
}
