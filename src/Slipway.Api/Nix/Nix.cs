namespace Slipway.Api;

/// <summary>A physical place for blobs. Superusers manage stores; Nix caches live in one, and all build caches in the one called <c>buildcache</c>.</summary>
/// <param name="Kind"><c>disk</c>.</param>
/// <param name="Path">The absolute folder on the server.</param>
public sealed record Store(string Id, string Name, string Kind, string Path, int Caches, long? FreeBytes, bool Writable, DateTimeOffset CreatedAt);

/// <param name="Path">An absolute folder the server may write to; under its data folder unless given.</param>
public sealed record CreateStoreRequest(string Name, string? Path = null);

/// <summary>What <c>fsck</c> found in a store.</summary>
/// <param name="Deep">Whether contents were read and compared. Otherwise only what says where things are was.</param>
/// <param name="BytesChecked">Bytes of blobs that were read; 0 unless <paramref name="Deep"/>.</param>
/// <param name="PathsChecked">Store paths of the Nix caches in it.</param>
/// <param name="CorruptBlobs">Digests of blobs whose bytes are others; at most 100.</param>
/// <param name="MissingBlobs">Digests that a path or a log refers to; at most 100.</param>
/// <param name="DanglingReferences">Paths whose narinfo or references are wrong; at most 100.</param>
/// <param name="Faults">How much is wrong with segments, indexes and files.</param>
/// <param name="Findings">The first 100 of <paramref name="Faults"/>, in words.</param>
/// <param name="Clean">Nothing is wrong. Unreferenced blobs are no fault: a sweep takes them.</param>
public sealed record FsckReport(
    string Store,
    bool Deep,
    long BlobsChecked,
    long BytesChecked,
    long PathsChecked,
    IReadOnlyList<string> CorruptBlobs,
    IReadOnlyList<string> MissingBlobs,
    long UnreferencedBlobs,
    IReadOnlyList<string> DanglingReferences,
    long Faults,
    IReadOnlyList<string> Findings,
    bool Clean);

/// <summary>A Nix binary cache: a namespace of store paths that belongs to an org and lives in one store.</summary>
/// <param name="Url">Where Nix reaches it, such as <c>http://host:7474/nix/acme/main</c>.</param>
/// <param name="Priority">Lower is asked first by clients; 41 unless given, so that cache.nixos.org (40) is asked before.</param>
/// <param name="PublicKeys">Ready for <c>trusted-public-keys</c>; more than one while a rotation is under way.</param>
/// <param name="ReferenceCheck"><c>strict</c> refuses a path whose bytes name a path of the cache that its References leave out; <c>record</c> only notes it.</param>
public sealed record Cache(
    string Id,
    string Org,
    string Name,
    string Store,
    string Url,
    bool Public,
    int Priority,
    string ReferenceCheck,
    IReadOnlyList<string> PublicKeys,
    long Paths,
    long NarBytes,
    long FileBytes,
    DateTimeOffset CreatedAt);

/// <param name="Name">2 to 39 characters of <c>a-z0-9-</c>, starting with a letter. Can't be changed.</param>
public sealed record CreateCacheRequest(string Name, bool Public = false, int? Priority = null, string? Store = null, string? ReferenceCheck = null);

/// <summary>Fields left null stay as they are. Needs <c>If-Match</c>.</summary>
public sealed record UpdateCacheRequest(bool? Public = null, int? Priority = null, string? ReferenceCheck = null);

/// <summary>A key that signs a cache's paths. <paramref name="Status"/> is <c>active</c> or <c>retired</c>.</summary>
public sealed record SigningKey(string Name, string PublicKey, string Status, DateTimeOffset CreatedAt, DateTimeOffset? RetiredAt);

/// <summary>A store path in a cache.</summary>
/// <param name="Hash">The 32 nix32 characters before the name.</param>
public sealed record NixPath(
    string Hash,
    string StorePath,
    string NarHash,
    long NarSize,
    string FileHash,
    long FileSize,
    string Compression,
    IReadOnlyList<string> References,
    string? Deriver,
    string? System,
    string? ContentAddress,
    IReadOnlyList<string> Signatures,
    IReadOnlyList<string> UndeclaredReferences,
    string PushedBy,
    string PushedVia,
    DateTimeOffset PushedAt);

/// <param name="Hashes">Store path hashes (32 nix32 characters), at most 10,000 a call.</param>
public sealed record MissingPathsRequest(IReadOnlyList<string> Hashes);

public sealed record MissingPaths(IReadOnlyList<string> Missing);

/// <summary>What the server needs to know of one path in a push archive, beside its NAR.</summary>
/// <param name="StorePath">The full path, <c>/nix/store/…</c>.</param>
/// <param name="NarHash"><c>sha256:</c> and 52 nix32 characters.</param>
/// <param name="References">Full paths or base names.</param>
/// <param name="Compression">Of the NAR bytes that follow: <c>zstd</c>, <c>xz</c>, <c>bzip2</c> or <c>none</c>.</param>
public sealed record ArchiveEntry(
    string StorePath,
    string NarHash,
    long NarSize,
    IReadOnlyList<string> References,
    string? Deriver = null,
    string? ContentAddress = null,
    IReadOnlyList<string>? Signatures = null,
    string Compression = "zstd");

/// <summary>Opens an upload, or finds the unfinished one with the same <paramref name="ResumeKey"/> to go on with.</summary>
/// <param name="ResumeKey">1 to 128 characters that name the content, such as a hash over the paths and the compression.</param>
/// <param name="Paths">How many paths the archive will hold, 1 to 10,000.</param>
public sealed record CreateArchiveRequest(string ResumeKey, int Paths);

/// <summary>
/// A push archive on its way: <c>uploading</c> → <c>queued</c> → <c>running</c> → <c>done</c> or <c>failed</c>.
/// </summary>
/// <param name="Offset">Bytes the server holds durably: where the next PATCH continues.</param>
/// <param name="PathsAdded">Paths that became visible through this archive (those already present don't count).</param>
public sealed record Archive(string Id, string State, long Offset, int Paths, int PathsAdded, Problem? Problem, DateTimeOffset CreatedAt, DateTimeOffset? FinishedAt);
