namespace Slipway.Content;

/// <summary>What all content stores of one server share.</summary>
public sealed record ContentStoreOptions
{
    /// <summary>
    /// Bytes that uploads leave free on a store's disk. 1 GiB: the embedded PostgreSQL keeps up to 1 GB of write-ahead log
    /// (its default max_wal_size) and usually lies on the same disk; a full store must not stop it.
    /// </summary>
    public long ReserveBytes { get; init; } = 1L << 30;

    /// <summary>The bucket all stores have their segments in as well; null: there is none.</summary>
    public S3Options? S3 { get; init; }

    internal TierTimings TierTimings { get; init; } = new();

    /// <summary>How often indexes are written, segments compacted and old blobs taken away: a minute of log is replayed in well under a second.</summary>
    public TimeSpan Housekeeping { get; init; } = TimeSpan.FromMinutes(1);
}
