using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Slipway.Content;

/// <summary>Counts what callers ask of a store and how it went, in the meter "Slipway.Content".</summary>
internal sealed class MeteredContentStore : IContentStore
{
    private readonly IContentStore _inner;
    private readonly TimeProvider _time;
    private readonly KeyValuePair<string, object?> _store;
    private readonly Counter<long> _uploads;
    private readonly Counter<long> _uploadedBytes;
    private readonly Histogram<double> _commitSeconds;
    private readonly Counter<long> _opens;
    private readonly Counter<long> _deletes;

    public MeteredContentStore(IContentStore inner, Meter meter, Guid storeId, TimeProvider time)
    {
        _inner = inner;
        _time = time;
        _store = new KeyValuePair<string, object?>("store", storeId.ToString());
        _uploads = meter.CreateCounter<long>("slipway.content.uploads", "{upload}", "Uploads by how they ended.");
        _uploadedBytes = meter.CreateCounter<long>("slipway.content.uploaded", "By", "Bytes of committed uploads.");
        _commitSeconds = meter.CreateHistogram<double>("slipway.content.commit.duration", "s", "Time to make an upload durable and visible.");
        _opens = meter.CreateCounter<long>("slipway.content.opens", "{blob}", "Blobs asked for, found or not.");
        _deletes = meter.CreateCounter<long>("slipway.content.deletes", "{blob}", "Blobs deleted.");
    }

    public async ValueTask<IContentUpload> BeginUploadAsync(long? expectedBytes, CancellationToken cancellationToken)
    {
        try
        {
            return new Upload(this, await _inner.BeginUploadAsync(expectedBytes, cancellationToken));
        }
        catch (ContentStoreException exception)
        {
            CountUpload(exception.Failure);
            throw;
        }
    }

    public async ValueTask<IContentReader?> OpenAsync(Digest digest, CancellationToken cancellationToken)
    {
        var reader = await _inner.OpenAsync(digest, cancellationToken);
        _opens.Add(1, _store, new KeyValuePair<string, object?>("found", reader is not null));
        return reader;
    }

    public ValueTask<IReadOnlyList<Digest>> FindMissingAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellationToken) =>
        _inner.FindMissingAsync(digests, cancellationToken);

    public async ValueTask<bool> DeleteAsync(Digest digest, DateTimeOffset publishedBefore, CancellationToken cancellationToken)
    {
        var deleted = await _inner.DeleteAsync(digest, publishedBefore, cancellationToken);
        if (deleted)
        {
            _deletes.Add(1, _store);
        }

        return deleted;
    }

    public IAsyncEnumerable<StoredContent> ListAsync(CancellationToken cancellationToken) => _inner.ListAsync(cancellationToken);

    public ValueTask<StoreHealth> ProbeAsync(CancellationToken cancellationToken) => _inner.ProbeAsync(cancellationToken);

    private void CountUpload(ContentFailure failure) => CountUpload(failure switch
    {
        ContentFailure.StoreFull => "store_full",
        ContentFailure.DigestMismatch => "digest_mismatch",
        ContentFailure.Unavailable => "unavailable",
        _ => throw new UnreachableException(),
    });

    private void CountUpload(string outcome) => _uploads.Add(1, _store, new KeyValuePair<string, object?>("outcome", outcome));

    private sealed class Upload(MeteredContentStore store, IContentUpload inner) : IContentUpload
    {
        private bool _counted;

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
            var started = store._time.GetTimestamp();
            try
            {
                var digest = await inner.CommitAsync(expected, cancellationToken);
                _counted = true;
                store.CountUpload("committed");
                store._uploadedBytes.Add(inner.BytesWritten, store._store);
                store._commitSeconds.Record(store._time.GetElapsedTime(started).TotalSeconds, store._store);
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
            if (!_counted)
            {
                _counted = true;
                store.CountUpload("abandoned");
            }

            return inner.DisposeAsync();
        }

        private void CountFailure(ContentFailure failure)
        {
            if (!_counted)
            {
                _counted = true;
                store.CountUpload(failure);
            }
        }
    }
}
