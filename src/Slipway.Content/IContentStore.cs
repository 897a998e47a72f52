namespace Slipway.Content;

/// <summary>
/// A place that keeps bytes under the SHA-256 of those bytes. Knows nothing of tenants, names or formats.
/// </summary>
/// <remarks>
/// Behaviour is added by wrapping (metering, free-space guard); the stack is built in one place, <c>ContentStores</c>.
/// Promises every implementation keeps:
/// <list type="bullet">
/// <item>What <see cref="IContentUpload.CommitAsync"/> has returned survives <c>kill -9</c> and power loss.</item>
/// <item>A blob is visible whole or not at all, and only under the digest of its bytes.</item>
/// <item>An abandoned upload leaves nothing behind once it is disposed, or once the store is opened again.</item>
/// </list>
/// </remarks>
public interface IContentStore
{
    /// <summary>Starts an upload. Nothing is visible before <see cref="IContentUpload.CommitAsync"/>.</summary>
    /// <param name="expectedBytes">The announced size, if known: lets a full store refuse before the first byte arrives.</param>
    /// <exception cref="ContentStoreException"><see cref="ContentFailure.StoreFull"/> when the announced bytes do not fit.</exception>
    ValueTask<IContentUpload> BeginUploadAsync(long? expectedBytes, CancellationToken cancellationToken);

    /// <summary>Opens a blob for ranged reads, or null when it is not here. The reader stays valid if the blob is deleted meanwhile.</summary>
    ValueTask<IContentReader?> OpenAsync(Digest digest, CancellationToken cancellationToken);

    /// <summary>The digests of <paramref name="digests"/> that are not in the store.</summary>
    ValueTask<IReadOnlyList<Digest>> FindMissingAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellationToken);

    /// <summary>
    /// Deletes a blob unless it was published (again) at or after <paramref name="publishedBefore"/>: a sweep that decided on
    /// old knowledge can't take away bytes that a newer upload has just been promised.
    /// </summary>
    /// <returns>True when the blob was here and is gone now.</returns>
    ValueTask<bool> DeleteAsync(Digest digest, DateTimeOffset publishedBefore, CancellationToken cancellationToken);

    /// <summary>Every blob in the store, in no order. For fsck and sweeps.</summary>
    IAsyncEnumerable<StoredContent> ListAsync(CancellationToken cancellationToken);

    /// <summary>Proves that the store accepts writes (writes, syncs and removes a probe) and tells the free bytes.</summary>
    ValueTask<StoreHealth> ProbeAsync(CancellationToken cancellationToken);
}

/// <summary>One upload. Not safe for concurrent use. Disposing without a commit discards everything written.</summary>
public interface IContentUpload : IAsyncDisposable
{
    long BytesWritten { get; }

    /// <exception cref="ContentStoreException"><see cref="ContentFailure.StoreFull"/> when the disk is full.</exception>
    ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken);

    /// <summary>Makes the bytes durable, then visible under their digest. Committing a blob that exists already is fine.</summary>
    /// <param name="expected">When given, the commit fails unless the bytes hash to it.</param>
    /// <exception cref="ContentStoreException"><see cref="ContentFailure.DigestMismatch"/> or <see cref="ContentFailure.StoreFull"/>.</exception>
    ValueTask<Digest> CommitAsync(Digest? expected, CancellationToken cancellationToken);
}

/// <summary>Ranged reads of one blob. Safe for concurrent use. The caller disposes it.</summary>
public interface IContentReader : IAsyncDisposable
{
    long Length { get; }

    /// <summary>Reads up to <c>buffer.Length</c> bytes at <paramref name="offset"/>; 0 only at the end.</summary>
    ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken);

    /// <summary>The file and offset where these bytes lie as they are, if they do: lets a server hand them to the kernel.</summary>
    FileRange? File { get; }
}

/// <summary>Where a blob's bytes lie in a local file: <c>Length</c> bytes from <paramref name="Offset"/>.</summary>
public readonly record struct FileRange(string Path, long Offset);

/// <summary>A blob as a listing shows it.</summary>
public readonly record struct StoredContent(Digest Digest, long Length, DateTimeOffset PublishedAt);

/// <summary>What a probe of a store found. <paramref name="FreeBytes"/> is what uploads may still use, after the reserve.</summary>
public sealed record StoreHealth(bool Writable, long FreeBytes, string? Problem);

public enum ContentFailure
{
    /// <summary>The disk (or its reserve) is used up. HTTP 507.</summary>
    StoreFull,

    /// <summary>The owner's quota is used up, and nothing may be evicted. HTTP 507, gRPC RESOURCE_EXHAUSTED.</summary>
    QuotaExhausted,

    /// <summary>The bytes are not those of the expected digest. The uploader's mistake.</summary>
    DigestMismatch,

    /// <summary>The store can't be reached or the disk reports errors. Retryable.</summary>
    Unavailable,
}

public sealed class ContentStoreException(ContentFailure failure, string message, Exception? inner = null)
    : Exception(message, inner)
{
    public ContentFailure Failure { get; } = failure;
}
