using System.Net;
using Microsoft.Extensions.Logging;
using Slipway.BuildCache.Stages;

namespace Slipway.Server.Configuration;

/// <summary>Every key there is, in the order <c>config show</c> prints them.</summary>
internal static class ConfigurationKeys
{
    private const long KiB = 1L << 10;
    private const long MiB = 1L << 20;
    private const long GiB = 1L << 30;
    private const long TiB = 1L << 40;

    public static readonly ConfigurationKey<string?> DataFolder = new(
        "data.folder", "folder", "$XDG_DATA_HOME/slipway or ~/.local/share/slipway; /var/lib/slipway for root where the engines' user can't enter that", null,
        "Where the server keeps its keys, its embedded engines and the default store.", false, null, ValueParsers.Folder);

    public static readonly ConfigurationKey<ListenAddress> HttpListen = new(
        "http.listen", "ADDRESS:PORT", "127.0.0.1:7474", "port 0 (any free one) to 65535",
        "Where HTTP is served; without TLS unless tls.certificate is set: put a proxy in front then, to serve others than this machine.", false,
        new ListenAddress(IPAddress.Loopback, 7474), ValueParsers.Listen);

    public static readonly ConfigurationKey<Uri?> HttpPublicUrl = new(
        "http.publicUrl", "URL", "http:// (https:// with TLS) and the listen address", null,
        "What clients reach this server by; it goes into cache URLs and printed commands.", false, null, ValueParsers.HttpUrl);

    public static readonly ConfigurationKey<ListenAddress?> GrpcListen = new(
        "grpc.listen", "ADDRESS:PORT, port 0 for any free one", "127.0.0.1 and the port after that of http.listen: 7475; with TLS none", null,
        "Where gRPC is served besides, over HTTP/2 alone: the build cache for Bazel and other clients of the remote execution API. With TLS http.listen serves it too.", false, null, ValueParsers.Listen);

    public static readonly ConfigurationKey<string?> TlsCertificate = new(
        "tls.certificate", "file", "none: no TLS", null,
        "The server's certificate and those between it and its root, PEM. With it HTTP/1.1, HTTP/2 and gRPC share http.listen by TLS. Read again when it changes.", false, null, ValueParsers.Folder);

    public static readonly ConfigurationKey<string?> TlsKey = new(
        "tls.key", "file", "none", null,
        "The private key of tls.certificate, PEM without a password.", false, null, ValueParsers.Folder);

    public static readonly ConfigurationKey<string?> TlsClientAuthorities = new(
        "tls.clientAuthorities", "file", "this server's own only", null,
        "Further authorities, PEM, whose client certificates are taken. Such a certificate names a key (slp_u_…) as its common name and may do what that key may.", false, null, ValueParsers.Folder);

    public static readonly ConfigurationKey<string?> DatabaseUrl = new(
        "database.url", "PostgreSQL address", "the embedded PostgreSQL", null,
        "The PostgreSQL to use instead of the embedded one.", true, null, ValueParsers.DatabaseUrl);

    public static readonly ConfigurationKey<string?> RedisUrl = new(
        "redis.url", "Redis address", "the embedded Redis", null,
        "The Redis to use instead of the embedded one. It needs maxmemory-policy noeviction.", true, null, ValueParsers.RedisUrl);

    public static readonly ConfigurationKey<bool> RedisAllowEviction = new(
        "redis.allowEviction", "true or false", "false", null,
        "Whether the server counts as ready although Redis may evict keys when its memory is full, and jobs with them.", false, false,
        ValueParsers.Choice(("false", false), ("true", true)));

    // An allow-list: tenants can make any number of queues, and each label of a metric costs every scrape.
    public static readonly ConfigurationKey<IReadOnlyList<string>> MetricsQueues = new(
        "metrics.queues", "ORG/QUEUE,…", "none", null,
        "Up to 50 work queues that get labels of their own in /metrics; the others share sixteen.", false, [], ValueParsers.QueueNames(50));

    public static readonly ConfigurationKey<LogFormat> LogFormat = new(
        "log.format", "auto, console or json", "auto", null,
        "How log lines look; auto is console on a terminal and json otherwise.", false, Configuration.LogFormat.Auto,
        ValueParsers.Choice(("auto", Configuration.LogFormat.Auto), ("console", Configuration.LogFormat.Console), ("json", Configuration.LogFormat.Json)));

    public static readonly ConfigurationKey<LogLevel> LogLevel = new(
        "log.level", "debug, info, warning or error", "info", null,
        "The least important lines that are still logged. debug adds a line for every request under /nix.", false, Microsoft.Extensions.Logging.LogLevel.Information,
        ValueParsers.Choice(
            ("debug", Microsoft.Extensions.Logging.LogLevel.Debug),
            ("info", Microsoft.Extensions.Logging.LogLevel.Information),
            ("warning", Microsoft.Extensions.Logging.LogLevel.Warning),
            ("error", Microsoft.Extensions.Logging.LogLevel.Error)));

    public static readonly ConfigurationKey<Uri?> OtlpEndpoint = new(
        "otlp.endpoint", "URL", "none: nothing is sent", null,
        "An OpenTelemetry collector's OTLP/HTTP address, such as http://127.0.0.1:4318. Traces and logs go there.", false, null, ValueParsers.HttpUrl);

    public static readonly ConfigurationKey<string?> OtlpHeaders = new(
        "otlp.headers", "name=value,…", "none", null,
        "Headers sent to the collector, such as its API key.", true, null, ValueParsers.Headers);

    // 1 MiB: the largest JSON body we take is 10,000 store path hashes, about 350 KB.
    public static readonly ConfigurationKey<long> RequestBytes = Size(
        "limits.requestBytes", MiB, 64 * KiB, 64 * MiB, "The largest JSON body of an API request.");

    // 2 MiB holds some 30,000 references; the largest narinfo of nixpkgs is below 64 KiB.
    public static readonly ConfigurationKey<long> NarinfoBytes = Size(
        "limits.narinfoBytes", 2 * MiB, 64 * KiB, 16 * MiB, "The largest narinfo a client may put.");

    // 64 GiB: ten times the largest output in nixpkgs (CUDA), well below what fills a usual disk at one go.
    public static readonly ConfigurationKey<long> NarBytes = Size(
        "limits.narBytes", 64 * GiB, MiB, 16 * TiB, "The largest NAR, both as sent and as unpacked.");

    public static readonly ConfigurationKey<long> ArchiveBytes = Size(
        "limits.archiveBytes", 256 * GiB, MiB, 64 * TiB, "The largest push archive: all NARs of one slipway push request together.");

    // Each holds under 1 MiB of buffers, up to 128 MiB of window for a zstd that asks for it.
    public static readonly ConfigurationKey<int> ConcurrentIngests = Number(
        "limits.concurrentIngests", 64, 1, 1024, "NARs taken in and verified at one time; past this a push gets 503 and comes back.");

    // 240 bytes/s is Kestrel's own floor: enough for the worst modem, too fast for a slow-loris to hold many connections.
    public static readonly ConfigurationKey<int> MinUploadBytesPerSecond = Number(
        "limits.minUploadBytesPerSecond", 240, 1, 1_000_000_000, "An upload slower than this for 5 s is cut off with 408.");

    // 10,000 connections cost about 200 MB at Kestrel's buffers when all are busy, and stay below the usual 20,480 open files.
    public static readonly ConfigurationKey<int> Connections = Number(
        "limits.connections", 10_000, 10, 1_000_000, "Open connections at one time; more are refused.");

    // A push of 2,001 paths is about 6,000 calls in one go: two of those pass at once, a loop gone wild does not.
    public static readonly ConfigurationKey<int> RequestsPerMinute = Number(
        "limits.requestsPerMinute", 12_000, 10, 10_000_000, "API requests under /v1 one credential may make each minute.");

    public static readonly ConfigurationKey<int> AnonymousRequestsPerMinute = Number(
        "limits.anonymousRequestsPerMinute", 300, 10, 10_000_000, "API requests under /v1 one network (/24, /56) may make each minute without a credential.");

    // Each costs a server that uses it a subscription and about 20 kB.
    public static readonly ConfigurationKey<int> Queues = Number(
        "limits.queues", 100, 1, 10_000, "Work queues an org may have.");

    // 1,000,000 jobs of 80 bytes are about 115 MB of Redis.
    public static readonly ConfigurationKey<int> QueueJobs = Number(
        "limits.queueJobs", 1_000_000, 1, 1_000_000_000, "The most jobs a work queue may be set to hold.");

    // 512 MiB: half of what the embedded Redis may take.
    public static readonly ConfigurationKey<long> QueueBytes = Size(
        "limits.queueBytes", 512 * MiB, MiB, TiB, "What all work queues of an org may hold together.");

    // Each keeps a segment of 64 MiB open.
    public static readonly ConfigurationKey<int> BuildCaches = Number(
        "limits.buildCaches", 100, 1, 10_000, "Build caches an org may have.");

    // 8 GiB: a container image or a debug build of a browser, with room.
    public static readonly ConfigurationKey<long> BuildCacheBlobBytes = Size(
        "limits.buildCacheBlobBytes", 8 * GiB, MiB, TiB, "The largest blob a build cache may be set to take, and what a new one takes.");

    public static readonly ConfigurationKey<OrgStage> BuildCacheDefaultStage = new(
        "buildcache.defaultStage", "invisible, visible, beta or paid", "beta", null,
        "How far orgs that no superuser moved may go with the build system: cache only, see it too, use everything, or use it without bounds on quotas.", false, OrgStage.Beta,
        ValueParsers.Choice([.. OrgStages.Names.Select(name => (name, OrgStages.Read(name)!.Value))]));

    // 50 GiB hold a few hundred builds of a large repository. No bound would mean that builds fill the disk of everything else.
    public static readonly ConfigurationKey<long> BuildCacheDefaultQuota = Size(
        "buildcache.defaultQuota", 50 * GiB, 64 * MiB, 1024 * TiB, "What a new build cache may hold unless it says otherwise, and the most it may say at the stages invisible and visible.");

    public static readonly ConfigurationKey<long> BuildCacheBetaQuota = Size(
        "buildcache.betaQuota", TiB, 64 * MiB, 1024 * TiB, "The largest quota of a build cache at the stage beta; paid has none.");

    // A month: long enough to compare this release's builds with the last one's. A row of an invocation is about 300 bytes.
    public static readonly ConfigurationKey<TimeSpan> BuildCacheInsightLifetime = Time(
        "buildcache.insightLifetime", TimeSpan.FromDays(30), TimeSpan.FromHours(1), TimeSpan.FromDays(3660), "How long is kept what single builds asked of a build cache.");

    // 1 GiB: room for PostgreSQL's WAL (its max_wal_size) to go on while pushes are refused.
    public static readonly ConfigurationKey<long> ReserveBytes = Size(
        "content.reserveBytes", GiB, 0, 16 * TiB, "Free space that pushes leave alone, so that databases and logs can go on; a push that would touch it gets 507.");

    // 30 days: what ZFS on Debian does by habit (a scrub a month). Rot that is found late is found by a build.
    public static readonly ConfigurationKey<TimeSpan> ScrubEvery = Time(
        "content.scrubEvery", TimeSpan.FromDays(30), TimeSpan.Zero, TimeSpan.FromDays(3660), "How long after one scrub began the next does: everything in a store is read, and what has rotted is set aside. 0s: only by slipway store scrub.");

    // 16 MiB: a tenth of what one hard disk reads, and 10 TB in a week.
    public static readonly ConfigurationKey<long> ScrubBytesPerSecond = Size(
        "content.scrubBytesPerSecond", 16 * MiB, MiB, 64 * GiB, "How fast a store is read by a scrub that nobody asked for.");

    public static readonly TableKey NixHosts = new(
        "nix.hosts", "HOST: ORG/CACHE, one a line",
        "Host names that serve one cache each at their root: netrc has no paths, so a machine that uses two private caches needs two host names.",
        ValueParsers.CacheHost);

    // OWASP ASVS 7.3 wants an absolute end; 30 d is what code hosts give a signed-in terminal.
    public static readonly ConfigurationKey<TimeSpan> SessionLifetime = Time(
        "sessions.lifetime", TimeSpan.FromDays(30), TimeSpan.FromMinutes(5), TimeSpan.FromDays(366), "A session ends after so long in any case.");

    public static readonly ConfigurationKey<TimeSpan> KeyDefaultLifetime = Time(
        "keys.defaultLifetime", TimeSpan.FromDays(90), TimeSpan.FromHours(1), TimeSpan.FromDays(3660), "How long a key lives unless asked otherwise.");

    public static readonly ConfigurationKey<TimeSpan> KeyMaxLifetime = Time(
        "keys.maxLifetime", TimeSpan.FromDays(366), TimeSpan.FromDays(1), TimeSpan.FromDays(3660), "The longest life of a key that can be asked for.");

    // 30 s is what load balancers and systemd give by habit (TimeoutStopSec is 90 s).
    public static readonly ConfigurationKey<TimeSpan> DrainSeconds = new(
        "drain.seconds", "whole seconds", "30", "0 to 3600",
        "How long a stopping server waits for requests under way.", false, TimeSpan.FromSeconds(30), ValueParsers.Seconds(0, 3600));

    public static readonly ConfigurationKey<TimeSpan> DrainDelaySeconds = new(
        "drain.delaySeconds", "whole seconds", "0", "0 to 300",
        "How long /readyz says 503 before the listeners close, so that a load balancer can look away. 0 on a single machine.", false,
        TimeSpan.Zero, ValueParsers.Seconds(0, 300));

    public static IReadOnlyList<ConfigurationKey> All { get; } =
    [
        DataFolder, HttpListen, HttpPublicUrl, GrpcListen, TlsCertificate, TlsKey, TlsClientAuthorities, DatabaseUrl, RedisUrl, RedisAllowEviction, MetricsQueues, LogFormat, LogLevel, OtlpEndpoint, OtlpHeaders,
        RequestBytes, NarinfoBytes, NarBytes, ArchiveBytes, ConcurrentIngests, MinUploadBytesPerSecond, Connections,
        RequestsPerMinute, AnonymousRequestsPerMinute, Queues, QueueJobs, QueueBytes, BuildCaches, BuildCacheBlobBytes,
        BuildCacheDefaultStage, BuildCacheDefaultQuota, BuildCacheBetaQuota, BuildCacheInsightLifetime, ReserveBytes, ScrubEvery, ScrubBytesPerSecond, .. S3Keys.All, NixHosts, SessionLifetime,
        KeyDefaultLifetime, KeyMaxLifetime, DrainSeconds, DrainDelaySeconds,
    ];

    /// <summary>The key of that name, or the table that an entry of that name belongs to.</summary>
    public static ConfigurationKey? Find(string name) =>
        All.FirstOrDefault(key => key.Name == name || (key.IsTable && name.Length > key.Name.Length + 1 && name.StartsWith(key.Name + ".", StringComparison.Ordinal)));

    /// <summary>True for <c>http</c>: not a key but the start of some.</summary>
    public static bool IsSection(string name) => All.Any(key => key.Name.StartsWith(name + ".", StringComparison.Ordinal)) || Find(name) is { IsTable: true } table && table.Name == name;

    public static ServerConfiguration Build(ConfigurationValues values) => new(
        new DataConfiguration(values.Get(DataFolder)),
        new HttpConfiguration(values.Get(HttpListen), values.Get(HttpPublicUrl)),
        new GrpcConfiguration(values.Get(GrpcListen) ?? (values.Get(TlsCertificate) is null ? NextTo(values.Get(HttpListen)) : null)),
        new TlsConfiguration(values.Get(TlsCertificate), values.Get(TlsKey), values.Get(TlsClientAuthorities)),
        new DatabaseConfiguration(values.Get(DatabaseUrl)),
        new RedisConfiguration(values.Get(RedisUrl), values.Get(RedisAllowEviction)),
        new LogConfiguration(values.Get(LogFormat), values.Get(LogLevel)),
        new OtlpConfiguration(values.Get(OtlpEndpoint), values.Get(OtlpHeaders)),
        new MetricsConfiguration(values.Get(MetricsQueues)),
        new LimitsConfiguration(
            values.Get(RequestBytes),
            values.Get(NarinfoBytes),
            values.Get(NarBytes),
            values.Get(ArchiveBytes),
            values.Get(ConcurrentIngests),
            values.Get(MinUploadBytesPerSecond),
            values.Get(Connections),
            values.Get(RequestsPerMinute),
            values.Get(AnonymousRequestsPerMinute),
            values.Get(Queues),
            values.Get(QueueJobs),
            values.Get(QueueBytes),
            values.Get(BuildCaches),
            values.Get(BuildCacheBlobBytes)),
        new BuildCacheConfiguration(values.Get(BuildCacheDefaultStage), values.Get(BuildCacheDefaultQuota), values.Get(BuildCacheBetaQuota), values.Get(BuildCacheInsightLifetime)),
        new ContentConfiguration(values.Get(ReserveBytes), values.Get(ScrubEvery), values.Get(ScrubBytesPerSecond), S3Keys.Build(values)),
        new NixConfiguration(values.GetTable(NixHosts)),
        new SessionsConfiguration(values.Get(SessionLifetime)),
        new KeysConfiguration(values.Get(KeyDefaultLifetime), values.Get(KeyMaxLifetime)),
        new DrainConfiguration(values.Get(DrainDelaySeconds), values.Get(DrainSeconds)));

    /// <summary>What no single key can see: keys that contradict each other.</summary>
    public static IEnumerable<ConfigurationFault> FindContradictions(ConfigurationValues values)
    {
        if (values.Get(KeyDefaultLifetime) > values.Get(KeyMaxLifetime))
        {
            yield return values.FaultOf(KeyDefaultLifetime, "is longer than keys.maxLifetime", "lower it, or raise keys.maxLifetime");
        }

        if (values.Get(NarBytes) > values.Get(ArchiveBytes))
        {
            yield return values.FaultOf(NarBytes, "is more than limits.archiveBytes, so such a NAR could not be pushed", "lower it, or raise limits.archiveBytes");
        }

        if (values.Get(BuildCacheDefaultQuota) > values.Get(BuildCacheBetaQuota))
        {
            yield return values.FaultOf(BuildCacheDefaultQuota, "is more than buildcache.betaQuota", "lower it, or raise buildcache.betaQuota");
        }

        if (values.Get(TlsCertificate) is null != values.Get(TlsKey) is null)
        {
            yield return values.Get(TlsKey) is null
                ? values.FaultOf(TlsCertificate, "is set, but tls.key is not", "set tls.key to the file with the certificate's private key")
                : values.FaultOf(TlsKey, "is set, but tls.certificate is not", "set tls.certificate, or remove it");
        }

        if (values.Get(TlsClientAuthorities) is not null && values.Get(TlsCertificate) is null)
        {
            yield return values.FaultOf(TlsClientAuthorities, "is set, but tls.certificate is not, and without TLS there are no client certificates", "set tls.certificate and tls.key, or remove it");
        }

        foreach (var fault in S3Keys.FindContradictions(values))
        {
            yield return fault;
        }

        if (values.Get(OtlpHeaders) is not null && values.Get(OtlpEndpoint) is null)
        {
            yield return values.FaultOf(OtlpHeaders, "is set, but otlp.endpoint is not, so it goes nowhere", "set otlp.endpoint, or remove it");
        }
    }

    // Loopback even where HTTP is not: opening a second port to others is for the operator to ask for. 0 stays "any free one".
    private static ListenAddress NextTo(ListenAddress http) => new(IPAddress.Loopback, http.Port is 0 or 65_535 ? 0 : http.Port + 1);

    private static ConfigurationKey<long> Size(string name, long standard, long minimum, long maximum, string description) => new(
        name, "size: a number and B, KiB, MiB, GiB or TiB", ValueParsers.ShowBytes(standard), $"{ValueParsers.ShowBytes(minimum)} to {ValueParsers.ShowBytes(maximum)}",
        description, false, standard, ValueParsers.Bytes(minimum, maximum));

    private static ConfigurationKey<int> Number(string name, int standard, int minimum, int maximum, string description) => new(
        name, "whole number", $"{standard}", $"{minimum} to {maximum}", description, false, standard, ValueParsers.Count(minimum, maximum));

    private static ConfigurationKey<TimeSpan> Time(string name, TimeSpan standard, TimeSpan minimum, TimeSpan maximum, string description) => new(
        name, "time: a number and s, m, h or d", ValueParsers.ShowDuration(standard), $"{ValueParsers.ShowDuration(minimum)} to {ValueParsers.ShowDuration(maximum)}",
        description, false, standard, ValueParsers.Duration(minimum, maximum));
}
