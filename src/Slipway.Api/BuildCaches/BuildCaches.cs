namespace Slipway.Api;

/// <summary>A remote build cache: a namespace of blobs and action results that belongs to an org.</summary>
/// <param name="InstanceName"><c>org/name</c>: what clients of the Remote Execution API send as <c>instance_name</c>.</param>
/// <param name="GrpcUrl">Where Bazel and the like reach it, such as <c>grpc://host:7475</c>; null when the server has no gRPC.</param>
/// <param name="HttpUrl">Where HTTP clients reach it, such as <c>http://host:7474/cache/acme/main</c>.</param>
/// <param name="QuotaBytes">Bytes on disk; null: as much as the store takes.</param>
/// <param name="RetentionDays">What nobody used for so many days goes; null: only the quota decides.</param>
/// <param name="MaxBlobBytes">The largest blob it takes, unpacked.</param>
/// <param name="ValidateActions">Whether what is put as an action result over HTTP has to be one, with all its outputs here. Off for ccache in Bazel's layout.</param>
/// <param name="AnonymousRead">Whether anybody may read without a credential.</param>
/// <param name="AssetHosts">Host names the Remote Asset API may fetch from; <c>*.example.org</c> is all below it.</param>
/// <param name="Stage">Of the org: <c>invisible</c>, <c>visible</c>, <c>beta</c> or <c>paid</c>.</param>
/// <param name="Blobs">Entries of any kind.</param>
/// <param name="StoredBytes">Bytes on disk, of which the quota is taken.</param>
public sealed record BuildCache(
    string Id,
    string Org,
    string Name,
    string InstanceName,
    string? GrpcUrl,
    string HttpUrl,
    long? QuotaBytes,
    int? RetentionDays,
    long MaxBlobBytes,
    bool ValidateActions,
    bool AnonymousRead,
    IReadOnlyList<string> AssetHosts,
    string Stage,
    long Blobs,
    long StoredBytes,
    DateTimeOffset CreatedAt);

/// <param name="Name">2 to 39 characters of <c>a-z0-9-</c>, starting with a letter. Can't be changed.</param>
/// <param name="QuotaBytes">At least 64 MiB; 0: as much as the store takes (stage paid). The server's <c>buildcache.defaultQuota</c> unless given.</param>
/// <param name="RetentionDays">1 to 3650; 0 or none: only the quota decides.</param>
/// <param name="MaxBlobBytes">1 MiB up to the server's <c>limits.buildCacheBlobBytes</c>, which is what it is unless given.</param>
/// <param name="ValidateActions">True unless given.</param>
/// <param name="AssetHosts">At most 100.</param>
public sealed record CreateBuildCacheRequest(
    string Name,
    long? QuotaBytes = null,
    int? RetentionDays = null,
    long? MaxBlobBytes = null,
    bool? ValidateActions = null,
    bool AnonymousRead = false,
    IReadOnlyList<string>? AssetHosts = null);

/// <summary>Fields left null stay as they are; 0 takes a bound away. Needs <c>If-Match</c>.</summary>
public sealed record UpdateBuildCacheRequest(
    long? QuotaBytes = null,
    int? RetentionDays = null,
    long? MaxBlobBytes = null,
    bool? ValidateActions = null,
    bool? AnonymousRead = null,
    IReadOnlyList<string>? AssetHosts = null);

/// <summary>How far an org may go with the build system.</summary>
/// <param name="Stage">
/// <c>invisible</c> caches and sends telemetry but sees nothing, <c>visible</c> sees it too, <c>beta</c> uses everything,
/// <c>paid</c> has no bound on quotas.
/// </param>
/// <param name="IsDefault">Nobody moved it: it follows the server's <c>buildcache.defaultStage</c>.</param>
public sealed record BuildStage(string Org, string Stage, bool IsDefault, DateTimeOffset? MovedAt);

/// <param name="Stage"><c>invisible</c>, <c>visible</c>, <c>beta</c> or <c>paid</c>.</param>
public sealed record MoveStageRequest(string Stage);
