namespace Slipway.Content;

/// <summary>
/// Objects under names in a bucket: what the tier asks of S3. There is the client (<see cref="S3ObjectStorage"/>) and what makes it
/// dependable (<see cref="ReliableObjectStorage"/>), which wraps it.
/// </summary>
/// <remarks>Failures are <see cref="ObjectStorageException"/>. An object is seen whole or not at all; S3 promises read-after-write.</remarks>
internal interface IObjectStorage : IDisposable
{
    /// <summary>Writes a whole object in one request; for up to <see cref="ObjectLimits.OnePutBytes"/>.</summary>
    /// <exception cref="ObjectStorageException"><see cref="ObjectFailure.Conflict"/>: the condition does not hold.</exception>
    ValueTask<StoredObject> PutAsync(string key, ObjectContent content, PutCondition condition, CancellationToken cancellationToken);

    /// <summary>Begins an upload in parts.</summary>
    /// <returns>What the other calls know it by.</returns>
    ValueTask<string> StartPartsAsync(string key, CancellationToken cancellationToken);

    /// <param name="number">From 1 on, 10,000 at most. All parts but the last have at least 5 MiB and, for R2, the same length.</param>
    /// <returns>The part's tag, for <see cref="FinishPartsAsync"/>.</returns>
    ValueTask<string> PutPartAsync(string key, string upload, int number, ObjectContent content, CancellationToken cancellationToken);

    /// <summary>The answer's tag and length are not known: not all servers send them here.</summary>
    ValueTask FinishPartsAsync(string key, string upload, IReadOnlyList<string> tags, CancellationToken cancellationToken);

    /// <summary>Ends every upload in parts below <paramref name="prefix"/> that began before a moment. They cost money until then.</summary>
    /// <returns>How many there were.</returns>
    ValueTask<int> AbandonPartsAsync(string prefix, DateTimeOffset startedBefore, CancellationToken cancellationToken);

    /// <summary>Null when it is not there.</summary>
    ValueTask<StoredObject?> HeadAsync(string key, CancellationToken cancellationToken);

    /// <summary>Reads the bytes from <paramref name="offset"/> on: as many as <paramref name="destination"/> holds, or up to the object's end.</summary>
    /// <returns>How many; -1 when the object is not there.</returns>
    ValueTask<int> ReadAsync(string key, long offset, Memory<byte> destination, CancellationToken cancellationToken);

    /// <summary>A small object whole.</summary>
    /// <param name="unlessTag">Nothing is sent when the object still has this tag.</param>
    ValueTask<FetchedObject> GetAsync(string key, string? unlessTag, CancellationToken cancellationToken);

    /// <summary>No error for those that are not there.</summary>
    ValueTask DeleteAsync(IReadOnlyCollection<string> keys, CancellationToken cancellationToken);

    /// <summary>What begins with <paramref name="prefix"/>, in the order of the bytes of the names, from after <paramref name="after"/> on.</summary>
    IAsyncEnumerable<StoredObject> ListAsync(string prefix, string? after, CancellationToken cancellationToken);
}

/// <param name="Tag">The ETag with its quotes: equal tags, equal bytes.</param>
internal sealed record StoredObject(string Key, long Length, string Tag, DateTimeOffset WrittenAt);

internal enum FetchOutcome
{
    Found,
    Unchanged,
    Missing,
}

/// <param name="Bytes">Empty unless found.</param>
internal sealed record FetchedObject(FetchOutcome Outcome, byte[] Bytes, string? Tag)
{
    public static FetchedObject Missing { get; } = new(FetchOutcome.Missing, [], null);
}

/// <summary>
/// When a write may take place. There is no "only over the object with this tag" (If-Match): servers disagree on whether the tag is quoted
/// (Ceph 16 refuses the quotes that HTTP asks for).
/// </summary>
internal enum PutCondition
{
    Always,

    /// <summary>Only when nothing has this name. Of several that write at once, one succeeds.</summary>
    IfAbsent,
}

internal static class ObjectLimits
{
    /// <summary>96 MiB: a whole segment, with a footer for half a million small blobs. S3 itself takes 5 GiB, but a request that fails begins again.</summary>
    public const int OnePutBytes = 96 << 20;

    /// <summary>S3's own limit.</summary>
    public const int Parts = 10_000;

    /// <summary>S3's own limit for the deletion of several.</summary>
    public const int DeletesAtOnce = 1000;

    /// <summary>16 MiB at least, so that a lost connection costs a second or so; larger where 10,000 of those don't suffice (from 156 GiB on).</summary>
    public static long PartBytes(long length) => Math.Max(16L << 20, ((length / (Parts - 1)) | 0xfffff) + 1);
}

internal enum ObjectFailure
{
    /// <summary>No answer, an answer too late, or one that says "later" (5xx, 429). Trying again may help.</summary>
    Unavailable,

    /// <summary>Credentials, bucket or request are wrong. Trying again doesn't help; somebody has to look.</summary>
    Refused,

    /// <summary>A <see cref="PutCondition"/> does not hold.</summary>
    Conflict,
}

/// <summary>The message holds no credential: it is shown in health and written to logs.</summary>
internal sealed class ObjectStorageException(ObjectFailure failure, string message, Exception? inner = null) : Exception(message, inner)
{
    public ObjectFailure Failure { get; } = failure;
}
