using System.Net;
using Microsoft.Extensions.Logging;
using Slipway.BuildCache.Stages;

namespace Slipway.Server.Configuration;

/// <summary>
/// Everything an operator can set, checked once at start and never changed after. Each leaf has its key in
/// <see cref="ConfigurationKeys"/>, which is also where it gets its default, its range and its words.
/// </summary>
internal sealed record ServerConfiguration(
    DataConfiguration Data,
    HttpConfiguration Http,
    GrpcConfiguration Grpc,
    TlsConfiguration Tls,
    DatabaseConfiguration Database,
    RedisConfiguration Redis,
    LogConfiguration Log,
    OtlpConfiguration Otlp,
    MetricsConfiguration Metrics,
    LimitsConfiguration Limits,
    BuildCacheConfiguration BuildCache,
    ContentConfiguration Content,
    NixConfiguration Nix,
    SessionsConfiguration Sessions,
    KeysConfiguration Keys,
    DrainConfiguration Drain);

/// <param name="Folder">Null: the server picks one.</param>
internal sealed record DataConfiguration(string? Folder);

/// <param name="PublicUrl">What clients reach the server by; null: the listen address.</param>
internal sealed record HttpConfiguration(ListenAddress Listen, Uri? PublicUrl);

/// <param name="Listen">Null: only on the port of HTTP, by TLS.</param>
internal sealed record GrpcConfiguration(ListenAddress? Listen);

/// <summary>All files in PEM; without a certificate there is no TLS.</summary>
internal sealed record TlsConfiguration(string? Certificate, string? Key, string? ClientAuthorities);

/// <param name="Url">Null: the embedded PostgreSQL.</param>
internal sealed record DatabaseConfiguration(string? Url);

/// <param name="Url">Null: the embedded Redis.</param>
/// <param name="AllowEviction">Ready although Redis may throw jobs away.</param>
internal sealed record RedisConfiguration(string? Url, bool AllowEviction);

internal sealed record LogConfiguration(LogFormat Format, LogLevel Level);

internal sealed record OtlpConfiguration(Uri? Endpoint, string? Headers);

/// <param name="Queues"><c>org/queue</c>: those with metrics of their own.</param>
internal sealed record MetricsConfiguration(IReadOnlyList<string> Queues);

internal sealed record LimitsConfiguration(
    long RequestBytes,
    long NarinfoBytes,
    long NarBytes,
    long ArchiveBytes,
    int ConcurrentIngests,
    int MinUploadBytesPerSecond,
    int Connections,
    int RequestsPerMinute,
    int AnonymousRequestsPerMinute,
    int Queues,
    int QueueJobs,
    long QueueBytes,
    int BuildCaches,
    long BuildCacheBlobBytes);

/// <param name="DefaultStage">Of orgs that no superuser moved.</param>
internal sealed record BuildCacheConfiguration(OrgStage DefaultStage, long DefaultQuota, long BetaQuota, TimeSpan InsightLifetime);

/// <param name="ScrubEvery">Zero: only when somebody asks.</param>
/// <param name="S3">Null: stores are on this machine only.</param>
internal sealed record ContentConfiguration(long ReserveBytes, TimeSpan ScrubEvery, long ScrubBytesPerSecond, Slipway.Content.S3Options? S3);

/// <param name="Hosts">Host name to <c>org/cache</c>: that cache is served at the root of the host.</param>
internal sealed record NixConfiguration(IReadOnlyDictionary<string, string> Hosts);

internal sealed record SessionsConfiguration(TimeSpan Lifetime)
{
    /// <summary>Not a key: no operator should lower it. Tests do, who make a hundred users.</summary>
    public int PasswordIterations { get; init; } = Slipway.Tenancy.TenancyOptions.StandardPasswordIterations;
}

internal sealed record KeysConfiguration(TimeSpan DefaultLifetime, TimeSpan MaxLifetime);

internal sealed record DrainConfiguration(TimeSpan Delay, TimeSpan Seconds);

internal enum LogFormat
{
    /// <summary>Console on a terminal, JSON otherwise.</summary>
    Auto,
    Console,
    Json,
}

/// <summary>An address and port to listen on. <paramref name="Address"/> is null for <c>localhost</c>: both loopbacks.</summary>
internal sealed record ListenAddress(IPAddress? Address, int Port)
{
    public override string ToString() => Address switch
    {
        null => $"localhost:{Port}",
        { AddressFamily: System.Net.Sockets.AddressFamily.InterNetworkV6 } => $"[{Address}]:{Port}",
        _ => $"{Address}:{Port}",
    };
}
