using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Slipway.Server.Configuration;

namespace Slipway.Server.Http;

/// <summary>Kestrel's settings, each with where its number comes from.</summary>
internal static class KestrelLimits
{
    /// <param name="tls">Null: no TLS.</param>
    public static void Apply(KestrelServerOptions options, ServerConfiguration configuration, ServerTls? tls)
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

        ApplyHttp2(limits.Http2);
        // Without TLS there is no ALPN to tell the two apart on one port: HTTP/1.1 on one, HTTP/2 with prior knowledge (gRPC) on the other.
        // The first address is the server's own, see SlipwayServer.Url.
        Listen(options, configuration.Http.Listen, tls is null ? HttpProtocols.Http1 : HttpProtocols.Http1AndHttp2, tls);
        if (configuration.Grpc.Listen is { } grpc)
        {
            Listen(options, grpc, HttpProtocols.Http2, tls);
        }
    }

    private static void ApplyHttp2(Http2Limits http2)
    {
        // Bazel opens 100 streams a connection at most unless told otherwise, and --jobs 200 is common: both fit on one connection.
        http2.MaxStreamsPerConnection = 250;
        // What one connection may have on the way to us: 1 Gbit/s times 60 ms of round trip are 7.5 MB.
        http2.InitialConnectionWindowSize = 8 << 20;
        // One stream alone gets a quarter, so that a handler that waits for the disk does not stop the others of its connection.
        http2.InitialStreamWindowSize = 2 << 20;
        // Bazel's messages are 16 KiB and a few bytes: with the standard frame of 16 KiB each would be cut in two. Read whole before it is used, so not more.
        http2.MaxFrameSize = 32 << 10;
        // A machine that vanished without a word holds its streams no longer than this. NAT devices forget a silent connection after a minute.
        http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
        http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(20);
    }

    private static void Listen(KestrelServerOptions options, ListenAddress listen, HttpProtocols protocols, ServerTls? tls)
    {
        if (listen.Address is null)
        {
            options.ListenLocalhost(listen.Port, Configure);
        }
        else
        {
            options.Listen(new IPEndPoint(listen.Address, listen.Port), Configure);
        }

        void Configure(ListenOptions one)
        {
            one.Protocols = protocols;
            tls?.Use(one);
        }
    }
}
