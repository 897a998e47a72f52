using System.Collections.Frozen;
using Microsoft.AspNetCore.Http;
using Slipway.Server.Configuration;

namespace Slipway.Server.Http;

/// <summary>
/// Serves one cache at the root of a host name (<c>nix.hosts</c>): <c>http://cache.example.org/nix-cache-info</c> is
/// <c>/nix/acme/main/nix-cache-info</c>. Nothing else is reachable under that name, so a password for it opens one cache only.
/// </summary>
internal sealed class NixHosts
{
    private readonly RequestDelegate next;
    private readonly FrozenDictionary<string, PathString>.AlternateLookup<ReadOnlySpan<char>> prefixes;

    public NixHosts(RequestDelegate next, NixConfiguration configuration)
    {
        this.next = next;
        prefixes = configuration.Hosts
            .ToFrozenDictionary(host => host.Key, host => new PathString("/nix/" + host.Value), StringComparer.OrdinalIgnoreCase)
            .GetAlternateLookup<ReadOnlySpan<char>>();
    }

    public Task InvokeAsync(HttpContext http)
    {
        // Without the port, and without the allocation of HostString.Host. An IPv6 literal is never a configured name.
        var host = http.Request.Host.Value.AsSpan();
        var colon = host.LastIndexOf(':');
        if (prefixes.TryGetValue(colon < 0 ? host : host[..colon], out var prefix))
        {
            http.Request.Path = prefix + http.Request.Path;
        }

        return next(http);
    }
}
