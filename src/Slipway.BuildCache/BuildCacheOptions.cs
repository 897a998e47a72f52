using Slipway.BuildCache.Stages;

namespace Slipway.BuildCache;

/// <summary>Settings of the build cache, checked by the configuration tree before they get here.</summary>
public sealed record BuildCacheOptions
{
    /// <summary>Where clients reach the server over HTTP, without a trailing slash.</summary>
    public required Uri PublicUrl { get; init; }

    /// <summary>Where clients reach the server over gRPC, such as <c>grpc://host:7475</c>; null when it does not listen there.</summary>
    public Uri? GrpcUrl { get; init; }

    /// <summary>Under which path the HTTP protocols of caches are: <c>{prefix}/{org}/{cache}/…</c>.</summary>
    public const string HttpPrefix = "/cache";

    /// <summary>The folder of the content store that holds all build caches.</summary>
    public required string StoreFolder { get; init; }

    /// <summary>The stage of orgs that no superuser moved.</summary>
    public OrgStage DefaultStage { get; init; } = OrgStage.Beta;

    /// <summary>Bytes on disk a new cache may take unless it says otherwise. Always some bound: a full disk stops more than builds.</summary>
    public long DefaultQuotaBytes { get; init; } = 50L << 30;

    /// <summary>The largest quota of an org that is not <see cref="OrgStage.Paid"/>.</summary>
    public long BetaQuotaBytes { get; init; } = 1L << 40;

    /// <summary>
    /// The largest blob a cache may be set to take, and what a new one takes. 8 GiB: a container image or a debug build of a browser,
    /// with room.
    /// </summary>
    public long MaxBlobBytes { get; init; } = 8L << 30;

    /// <summary>Build caches an org may have: each holds an open segment.</summary>
    public int MaxCaches { get; init; } = 100;

    /// <summary>How long what is known of single invocations is kept.</summary>
    public TimeSpan InsightLifetime { get; init; } = TimeSpan.FromDays(30);
}
