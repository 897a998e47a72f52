using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Slipway.Resp;

/// <summary>A parsed Redis URL.</summary>
public sealed class RespEndpoint
{
    /// <summary>107: <c>sockaddr_un.sun_path</c> is 108 bytes with its zero.</summary>
    private const int MaxSocketPathBytes = 107;

    private RespEndpoint()
    {
    }

    /// <summary>Path of the unix socket, or null for TCP.</summary>
    public string? SocketPath { get; private init; }

    public string Host { get; private init; } = "";

    public int Port { get; private init; }

    public int Database { get; private init; }

    internal string? User { get; private init; }

    internal string? Password { get; private init; }

    public static RespEndpoint Parse(string url) =>
        TryParse(url, out RespEndpoint? endpoint, out string fault) ? endpoint : throw new FormatException(fault);

    /// <param name="fault">What is wrong and how to write it; never repeats the URL, which may hold a password.</param>
    public static bool TryParse(string url, [NotNullWhen(true)] out RespEndpoint? endpoint, out string fault)
    {
        endpoint = null;
        int schemeEnd = url.IndexOf("://", StringComparison.Ordinal);
        string scheme = schemeEnd < 0 ? "" : url[..schemeEnd];
        if (scheme is not ("redis" or "unix"))
        {
            fault = "A Redis URL starts with redis:// or unix:// (TLS is not supported yet).";
            return false;
        }

        string rest = url[(schemeEnd + 3)..];
        int pathStart = rest.IndexOf('/', StringComparison.Ordinal);
        string authority = pathStart < 0 ? rest : rest[..pathStart];
        string path = pathStart < 0 ? "" : rest[pathStart..];

        string? user = null, password = null;
        int at = authority.LastIndexOf('@');
        if (at >= 0)
        {
            string credentials = authority[..at];
            authority = authority[(at + 1)..];
            int colon = credentials.IndexOf(':', StringComparison.Ordinal);
            if (colon < 0)
            {
                fault = "Credentials in a Redis URL are written user:password@ or :password@.";
                return false;
            }

            // "default" is the user that a server with only a password has.
            user = colon == 0 ? "default" : Uri.UnescapeDataString(credentials[..colon]);
            password = Uri.UnescapeDataString(credentials[(colon + 1)..]);
        }

        return scheme == "unix"
            ? TryParseSocket(authority, path, user, password, out endpoint, out fault)
            : TryParseHost(authority, path, user, password, out endpoint, out fault);
    }

    public override string ToString() => SocketPath is null
        ? string.Create(CultureInfo.InvariantCulture, $"redis://{Host}:{Port}/{Database}")
        : string.Create(CultureInfo.InvariantCulture, $"unix://{SocketPath}?db={Database}");

    internal async Task<Stream> DialAsync(CancellationToken cancellationToken)
    {
        bool unix = SocketPath is not null;
        var socket = unix
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            EndPoint target = unix ? new UnixDomainSocketEndPoint(SocketPath!) : new DnsEndPoint(Host, Port);
            await socket.ConnectAsync(target, cancellationToken).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static bool TryParseSocket(
        string authority, string path, string? user, string? password, [NotNullWhen(true)] out RespEndpoint? endpoint, out string fault)
    {
        endpoint = null;
        fault = "";
        int database = 0;
        int query = path.IndexOf('?', StringComparison.Ordinal);
        if (query >= 0)
        {
            if (!path.AsSpan(query).StartsWith("?db=") || !TryParseDatabase(path[(query + 4)..], out database))
            {
                fault = "After the socket's path only ?db=NUMBER may follow.";
                return false;
            }

            path = path[..query];
        }

        path = Uri.UnescapeDataString(path);
        if (authority.Length > 0 || path.Length < 2)
        {
            fault = "A unix URL holds an absolute path: unix:///run/redis.sock.";
            return false;
        }

        if (Encoding.UTF8.GetByteCount(path) > MaxSocketPathBytes)
        {
            fault = $"The path of a unix socket may have {MaxSocketPathBytes} bytes at most; use a shorter folder.";
            return false;
        }

        endpoint = new RespEndpoint { SocketPath = path, Database = database, User = user, Password = password };
        return true;
    }

    private static bool TryParseHost(
        string authority, string path, string? user, string? password, [NotNullWhen(true)] out RespEndpoint? endpoint, out string fault)
    {
        endpoint = null;
        fault = "";
        int database = 0;
        if (path.Length > 1 && !TryParseDatabase(path[1..], out database))
        {
            fault = "After the host only /NUMBER, the database, may follow.";
            return false;
        }

        int colon = authority.LastIndexOf(':');
        bool bareIpv6 = authority.EndsWith(']');
        int port = 6379;
        if (colon >= 0 && !bareIpv6)
        {
            if (!int.TryParse(authority.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is < 1 or > 65535)
            {
                fault = "The port of a Redis URL is a number from 1 to 65535.";
                return false;
            }

            authority = authority[..colon];
        }

        string host = authority.Trim('[', ']');
        if (host.Length == 0)
        {
            fault = "A Redis URL names a host: redis://host:6379.";
            return false;
        }

        endpoint = new RespEndpoint { Host = host, Port = port, Database = database, User = user, Password = password };
        return true;
    }

    private static bool TryParseDatabase(string text, out int database) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out database);
}
