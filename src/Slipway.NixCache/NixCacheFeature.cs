using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Slipway.Data;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// The Nix binary cache: stores and caches, push and fetch with stock Nix and with our own CLI.
/// </summary>
/// <remarks>
/// <code>
///            stock nix                              slipway push                   console, CLI
///   GET/PUT /nix/{org}/{cache}/…          POST/PATCH …/archives                 /v1/orgs/{org}/caches …
///               │                                     │ (job)                          │
///   Serving/NixProtocol ─► NixUpload          Archives/ArchiveJob             Caches/ Paths/ Stores/
///        │                     └────► Ingest/NarIngest ◄┘                              │
///        │                            Ingest/PathPublisher ─► one transaction: rows + event
///   Serving/CacheIndex  ◄──────────────────┘                                           │
///   (all narinfos in memory)                       Content (blobs), PostgreSQL (everything else)
/// </code>
/// </remarks>
public static class NixCacheFeature
{
    public static MigrationModule NixCacheMigrations { get; } = new("nix_cache", typeof(NixCacheFeature).Assembly);

    /// <summary>Needs Tenancy, a <see cref="Database"/>, content stores, and a connection to Redis among the services.</summary>
    public static IServiceCollection AddNixCache(this IServiceCollection services, NixCacheOptions options)
    {
        services.AddPermissions(NixPermissions.All);
        services.AddSingleton(options);

        services.AddSingleton<CacheDirectory>();
        services.AddSingleton<NixServingMetrics>();
        services.AddSingleton<NarDownload>();
        services.AddSingleton<NixUpload>();
        services.AddSingleton<NixProtocol>();

        services.AddSingleton<IngestSlots>();
        services.AddSingleton<PathPublisher>();

        services.AddSingleton<ArchiveFiles>();
        services.AddSingleton<ArchiveWaiters>();
        services.AddSingleton<ArchiveJob>();
        services.AddSingleton<ArchiveRecovery>();
        services.AddSingleton<ArchiveEndpoints>();

        services.AddSingleton<CacheEndpoints>();
        services.AddSingleton<SigningKeyEndpoints>();
        services.AddSingleton<ResignJob>();
        services.AddSingleton<PathEndpoints>();

        services.AddSingleton<StoreFsck>();
        services.AddSingleton<StoreSweep>();
        services.AddSingleton<StoreEndpoints>();

        services.AddSingleton<NixJobs>();
        // In this order: what the worker needs is open before it starts, and closed after it has stopped.
        services.AddHostedService<NixCacheService>();
        services.AddHostedService(provider => provider.GetRequiredService<NixJobs>());
        services.AddSingleton(provider =>
        {
            var jobs = provider.GetRequiredService<NixJobs>();
            return new WorkerProgress("nix", () => jobs.SinceProgress);
        });
        return services;
    }

    public static IEndpointRouteBuilder MapNixCache(this IEndpointRouteBuilder endpoints)
    {
        StoreEndpoints.Map(endpoints);
        CacheEndpoints.Map(endpoints);
        SigningKeyEndpoints.Map(endpoints);
        PathEndpoints.Map(endpoints);
        ArchiveEndpoints.Map(endpoints);

        var protocol = endpoints.ServiceProvider.GetRequiredService<NixProtocol>();
        endpoints.Map("/nix/{**file}", protocol.HandleAsync).WithMetadata(new ExcludeFromDescriptionAttribute());
        return endpoints;
    }
}
