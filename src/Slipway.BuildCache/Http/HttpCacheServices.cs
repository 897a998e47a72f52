using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Slipway.BuildCache.Http;

/// <summary>The HTTP caches among the services, and their one route.</summary>
internal static class HttpCacheServices
{
    /// <summary>Needs the namespaces and an <see cref="Cas.IRequestLog"/>.</summary>
    public static IServiceCollection AddHttpCaches(this IServiceCollection services)
    {
        services.AddSingleton<KeyedObjects>();
        services.AddSingleton<BazelHttp>();
        services.AddSingleton<KeyedHttp>();
        services.AddSingleton<WebDav>();
        services.AddSingleton<Turborepo>();
        services.AddSingleton<HttpCacheMetrics>();
        services.AddSingleton<HttpCaches>();
        return services;
    }

    public static IEndpointRouteBuilder MapHttpCaches(this IEndpointRouteBuilder endpoints)
    {
        var caches = endpoints.ServiceProvider.GetRequiredService<HttpCaches>();
        // All methods: WebDAV has some of its own. Described in docs/protocols, not in OpenAPI: these protocols are not ours.
        endpoints.Map(HttpCaches.Prefix + "{**file}", caches.HandleAsync).WithMetadata(new ExcludeFromDescriptionAttribute());
        return endpoints;
    }
}
