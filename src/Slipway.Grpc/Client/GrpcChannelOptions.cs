using System.Net.Security;

namespace Slipway.Grpc;

/// <summary>How a <see cref="GrpcChannel"/> connects.</summary>
public sealed record GrpcChannelOptions
{
    /// <summary>For <c>https</c>: trusted authorities, a client certificate. ALPN is set by the channel.</summary>
    public SslClientAuthenticationOptions? Tls { get; init; }

    /// <summary>10 s: a machine that is there answers within one, and three retransmissions of a SYN take seven.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// After so long without a frame from the server it is asked for one, while there are calls; no answer within 20 s ends them with
    /// UNAVAILABLE. 30 s is under the minute after which NAT devices forget a connection.
    /// </summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The longest message taken from a server.</summary>
    public int MaxMessageBytes { get; init; } = GrpcMethod.DefaultMaxMessageBytes;

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
