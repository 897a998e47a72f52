using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;

namespace Slipway.Resp;

/// <summary>Where one server listens.</summary>
/// <param name="SocketPath">Of a unix socket; null for TCP.</param>
internal sealed record RespEndpoint(string? SocketPath, string Host, int Port, bool Tls)
{
    public static RespEndpoint Socket(string path) => new(path, "", 0, false);

    public static RespEndpoint Tcp(string host, int port, bool tls) => new(null, host, port, tls);

    public override string ToString() => SocketPath
        ?? (Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host) + ":" + Port.ToString(CultureInfo.InvariantCulture);

    /// <exception cref="SocketException">Nobody listens, or the name does not resolve.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">TLS: the server is not who it should be, or does not know us.</exception>
    public async Task<Stream> DialAsync(RespTlsOptions tls, CancellationToken cancellationToken)
    {
        bool unix = SocketPath is not null;
        var socket = unix
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            EndPoint target = unix ? new UnixDomainSocketEndPoint(SocketPath!) : new DnsEndPoint(Host, Port);
            await socket.ConnectAsync(target, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        var plain = new NetworkStream(socket, ownsSocket: true);
        if (!Tls)
        {
            return plain;
        }

        var secured = new SslStream(plain, leaveInnerStreamOpen: false);
        try
        {
            await secured.AuthenticateAsClientAsync(tls.ForHost(Host), cancellationToken).ConfigureAwait(false);
            return secured;
        }
        catch
        {
            await secured.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}
