namespace Slipway.Api;

/// <summary>What a store holds, what that takes, and how sound it was found last.</summary>
/// <param name="LogicalBytes">What the blobs have for their users, uncompressed.</param>
/// <param name="StoredBytes">Segments and large files, those that are only in the bucket included: what quotas are compared with.</param>
/// <param name="DiskBytes">All files of the store on this machine.</param>
/// <param name="DeadBytes">Bytes of segments that nothing refers to any more: what compaction gives back.</param>
/// <param name="FreeBytes">What uploads may still use.</param>
/// <param name="LargeFiles">Blobs of 1 MiB or more, each a file of its own.</param>
/// <param name="IndexBytes">Memory.</param>
/// <param name="SpaceCount">Owners: one for each build cache, one for all Nix caches of a store.</param>
/// <param name="Spaces">The largest of them, 10 unless asked otherwise.</param>
/// <param name="Tier">Null: the store has no bucket.</param>
/// <param name="LastScrub">The one that runs, else the last; null when there was none.</param>
public sealed record StoreStats(
    string Store,
    string Path,
    long Blobs,
    long LogicalBytes,
    long StoredBytes,
    long DiskBytes,
    long DeadBytes,
    long FreeBytes,
    StoreSegments Segments,
    long LargeFiles,
    QuarantinedFiles Quarantine,
    long IndexBytes,
    int SpaceCount,
    IReadOnlyList<StoreSpace> Spaces,
    StoreTier? Tier = null,
    StoreScrub? LastScrub = null);

/// <summary>Files of up to 64 MiB for blobs under 1 MiB. Sealed ones are full and never appended to.</summary>
public sealed record StoreSegments(int Open, int Sealed);

/// <summary>Large files that did not have the bytes they were written with. Nothing reads them; delete them when you have seen enough.</summary>
public sealed record QuarantinedFiles(int Files, long Bytes);

/// <summary>One owner's part of a store.</summary>
/// <param name="Owner">The id of a build cache, or of the store itself for its Nix caches.</param>
/// <param name="Name"><c>org/cache</c>, or <c>nix caches</c>; null when nobody knows the owner (any more).</param>
public sealed record StoreSpace(string Owner, string? Name, long Blobs, long StoredBytes, long LiveBytes, long Segments, long LargeFiles);

/// <summary>A store's bucket.</summary>
/// <param name="ShippedBytes">Of this server's, in the bucket.</param>
/// <param name="WaitingBytes">Acknowledged and only on this machine.</param>
/// <param name="WaitingSince">The oldest of these; null: everything is in the bucket.</param>
/// <param name="LocalBytes">Segments and large files on this machine.</param>
/// <param name="Problem">What went wrong last; null when nothing is wrong.</param>
public sealed record StoreTier(
    string Bucket, long ShippedBytes, long WaitingBytes, DateTimeOffset? WaitingSince, long LocalBytes, int OtherServers, string? Problem = null, DateTimeOffset? FailingSince = null);

/// <summary>A reading of everything a store has on this machine, with what rotted set aside.</summary>
/// <param name="State"><c>running</c>, <c>done</c>, <c>stopped</c> (by somebody), <c>failed</c>, or <c>never</c>.</param>
/// <param name="Scheduled">The server began it by itself (<c>content.scrubEvery</c>).</param>
/// <param name="BytesPerSecond">The most it reads; 0: as fast as the disk gives it.</param>
/// <param name="BytesTotal">What the store held when it began.</param>
/// <param name="BytesElsewhere">Of these, only in the bucket: not read, as they are checked whenever they are read from there.</param>
/// <param name="Blobs">Found sound.</param>
/// <param name="Faults">What was found rotten. A rotten blob is a miss from then on, and the next upload heals it.</param>
/// <param name="Findings">The first 100 of these.</param>
/// <param name="Error">Why it failed.</param>
public sealed record StoreScrub(
    string Store,
    string State,
    bool Scheduled = false,
    DateTimeOffset? StartedAt = null,
    DateTimeOffset? EndedAt = null,
    long BytesPerSecond = 0,
    long BytesTotal = 0,
    long BytesRead = 0,
    long BytesElsewhere = 0,
    long Blobs = 0,
    long Faults = 0,
    IReadOnlyList<string>? Findings = null,
    string? Error = null);

/// <param name="BytesPerSecond">The most to read, from 1 MiB; as fast as the disk gives it unless given.</param>
public sealed record StartScrubRequest(long? BytesPerSecond = null);

/// <summary>What a compaction gave back.</summary>
/// <param name="StoredBefore">Segments and large files before, in bytes.</param>
/// <param name="DeadBefore">Bytes that nothing referred to, before.</param>
public sealed record StoreCompaction(string Store, long StoredBefore, long StoredAfter, long DeadBefore, long DeadAfter, long BytesGivenBack);
