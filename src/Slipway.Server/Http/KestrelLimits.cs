using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Slipway.Server.Configuration;

namespace Slipway.Server.Http;

/// <summary>Kestrel's settings, each with where its number comes from.</summary>
internal static class KestrelLimits
{
    public static void Apply(KestrelServerOptions options, ServerConfiguration configuration)
    {
        options.AddServerHeader = false;
        // Handlers read and write through pipes; a synchronous read would block a thread for a slow client.
        options.AllowSynchronousIO = false;

        var limits = options.Limits;
        // JSON bodies. An upload route carries its own limit as endpoint metadata, enforced while streaming.
        limits.MaxRequestBodySize = configuration.Limits.RequestBytes;
        limits.MaxConcurrentConnections = configuration.Limits.Connections;
        limits.MaxConcurrentUpgradedConnections = 0;
        // 32 KiB and 100 headers are Kestrel's defaults and what nginx and HAProxy pass on (4 × 8 KiB, 101).
        limits.MaxRequestHeadersTotalSize = 32 * 1024;
        limits.MaxRequestHeaderCount = 100;
        // The longest URL of ours is an archive route with a page token, below 3 KiB; 8 KiB is the usual limit on the way here.
        limits.MaxRequestLineSize = 8 * 1024;
        // A header that takes longer than 15 s is a slow-loris, not a slow client: it is one packet or two.
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(15);
        // Just above the 60 s and 120 s that proxies keep idle connections, so that the proxy closes first and never loses a race.
        limits.KeepAliveTimeout = TimeSpan.FromSeconds(130);
        // 5 s of grace are Kestrel's default: enough for a TCP retransmission or two.
        limits.MinRequestBodyDataRate = new MinDataRate(configuration.Limits.MinUploadBytesPerSecond, TimeSpan.FromSeconds(5));
        // Readers get Kestrel's floor and a longer grace: nix pauses a download while it unpacks another path.
        limits.MinResponseDataRate = new MinDataRate(240, TimeSpan.FromSeconds(30));

        var listen = configuration.Http.Listen;
        // HTTP/1.1 only: h2c on one port with it needs prior knowledge, which nothing here speaks, and only widens what can go wrong.
        if (listen.Address is null)
        {
            options.ListenLocalhost(listen.Port, one => one.Protocols = HttpProtocols.Http1);
        }
        else
        {
            options.Listen(new IPEndPoint(listen.Address, listen.Port), one => one.Protocols = HttpProtocols.Http1);
        }
    }
}
