using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Slipway.BuildCache.Blobs;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Http;
using Slipway.BuildCache.Insight;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Stages;
using Slipway.Content;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.BuildCache;

/// <summary>
/// The remote build cache: the Remote Execution API's cache services over gRPC, and the HTTP caches of other build tools, on the same
/// namespaces.
/// </summary>
/// <remarks>
/// <code>
///   Bazel, Pants, Buck2, siso, recc …            ccache, turbo, nx, gradle, go …          console, CLI
///   gRPC: Cas/ ActionCache/ ByteStream/ Assets/            Http/                /v1/orgs/{org}/build-caches …
///                       │                                    │                               │
///              Namespaces/BuildCacheDirectory: which cache, may the caller?          Namespaces/ Stages/ Usage/ Insight/
///                       │                                    │                               │
///              Content: a space of segments for each cache   └─► Insight/ (who asked what)   └─► PostgreSQL
/// </code>
/// </remarks>
public static class BuildCacheFeature
{
    public static MigrationModule BuildCacheMigrations { get; } = new("build_cache", typeof(BuildCacheFeature).Assembly);

    /// <summary>Needs Tenancy, a <see cref="Database"/> and content stores among the services.</summary>
    public static IServiceCollection AddBuildCache(this IServiceCollection services, BuildCacheOptions options)
    {
        services.AddPermissions(BuildCachePermissions.All);
        services.AddSingleton(options);
        services.AddSingleton<AccessWatch>();
        services.AddSingleton<BuildCacheDirectory>();
        services.AddSingleton<ISpaceNames>(provider => provider.GetRequiredService<BuildCacheDirectory>());
        services.AddSingleton<CacheSpaces>();
        services.AddSingleton<BuildCacheEndpoints>();
        services.AddSingleton<StageEndpoints>();
        services.AddSingleton<RequestLog>();
        services.AddSingleton<IRequestLog>(provider => provider.GetRequiredService<RequestLog>());
        services.AddHostedService(provider => provider.GetRequiredService<RequestLog>());
        services.AddSingleton<ActionQuestion>();
        services.AddSingleton<InsightEndpoints>();
        services.AddSingleton<BlobEndpoints>();
        services.AddReapi();
        services.AddHttpCaches();
        services.AddHostedService<BuildCacheService>();
        return services;
    }

    public static IEndpointRouteBuilder MapBuildCache(this IEndpointRouteBuilder endpoints)
    {
        BuildCacheEndpoints.Map(endpoints);
        StageEndpoints.Map(endpoints);
        InsightEndpoints.Map(endpoints);
        BlobEndpoints.Map(endpoints);
        endpoints.MapReapi();
        endpoints.MapHttpCaches();
        return endpoints;
    }
}
