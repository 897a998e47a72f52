using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Slipway.Resp;

/// <summary>What stands behind a URL.</summary>
public enum RespTopology
{
    /// <summary><c>redis://</c>, <c>rediss://</c>, <c>unix://</c>: one server.</summary>
    Single,

    /// <summary><c>redis+sentinel://</c>, <c>rediss+sentinel://</c>: the master that Sentinel names.</summary>
    Sentinel,

    /// <summary><c>redis+cluster://</c>, <c>rediss+cluster://</c>: all masters of a cluster.</summary>
    Cluster,
}

/// <summary>A parsed URL of <see cref="RespOptions.Url"/>.</summary>
public sealed class RespUrl
{
    /// <summary>107: <c>sockaddr_un.sun_path</c> is 108 bytes with its zero.</summary>
    private const int MaxSocketPathBytes = 107;

    /// <summary>More than anybody lists; each is dialled in turn while the ones before it are down.</summary>
    private const int MaxHosts = 64;

    private RespUrl()
    {
    }

    public RespTopology Topology { get; private init; }

    /// <summary>Name of the master, as the sentinels know it; empty without sentinels.</summary>
    public string MasterName { get; private init; } = "";

    /// <summary>0 in a cluster, which has no others.</summary>
    public int Database { get; private init; }

    /// <summary>The one server, the sentinels, or the nodes of the cluster to begin with.</summary>
    internal IReadOnlyList<RespEndpoint> Endpoints { get; private init; } = [];

    internal RespCredentials? Credentials { get; private init; }

    internal bool Tls => Endpoints[0].Tls;

    /// <exception cref="FormatException">With what is wrong and how to write it.</exception>
    public static RespUrl Parse(string url) =>
        TryParse(url, out RespUrl? parsed, out string fault) ? parsed : throw new FormatException(fault);

    /// <param name="fault">What is wrong and how to write it; never repeats the URL, which may hold a password.</param>
    public static bool TryParse(string url, [NotNullWhen(true)] out RespUrl? parsed, out string fault)
    {
        parsed = null;
        int schemeEnd = url.IndexOf("://", StringComparison.Ordinal);
        string scheme = schemeEnd < 0 ? "" : url[..schemeEnd];
        (RespTopology Topology, int DefaultPort)? known = scheme switch
        {
            "redis" or "rediss" or "unix" => (RespTopology.Single, 6379),
            "redis+sentinel" or "rediss+sentinel" => (RespTopology.Sentinel, 26379),
            "redis+cluster" or "rediss+cluster" => (RespTopology.Cluster, 6379),
            _ => null,
        };
        if (known is not { } kind)
        {
            fault = "A Redis URL starts with redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://.";
            return false;
        }

        string rest = url[(schemeEnd + 3)..];
        int pathStart = rest.IndexOf('/', StringComparison.Ordinal);
        string authority = pathStart < 0 ? rest : rest[..pathStart];
        string path = pathStart < 0 ? "" : rest[pathStart..];
        if (!TryTakeCredentials(ref authority, out RespCredentials? credentials, out fault))
        {
            return false;
        }

        if (scheme == "unix")
        {
            return TryParseSocket(authority, path, credentials, out parsed, out fault);
        }

        if (!TryParseHosts(authority, kind.DefaultPort, scheme.StartsWith("rediss", StringComparison.Ordinal), out List<RespEndpoint> endpoints, out fault)
            || !TryParsePath(kind.Topology, path, out string masterName, out int database, out fault))
        {
            return false;
        }

        if (kind.Topology is RespTopology.Single && endpoints.Count > 1)
        {
            fault = "Several hosts need redis+sentinel:// or redis+cluster://.";
            return false;
        }

        parsed = new RespUrl
        {
            Topology = kind.Topology,
            Endpoints = endpoints,
            MasterName = masterName,
            Database = database,
            Credentials = credentials,
        };
        return true;
    }

    /// <summary>Without credentials: for logs and messages.</summary>
    public override string ToString()
    {
        string hosts = string.Join(',', Endpoints);
        string scheme = Tls ? "rediss" : "redis";
        return Topology switch
        {
            RespTopology.Sentinel => string.Create(CultureInfo.InvariantCulture, $"{scheme}+sentinel://{hosts}/{MasterName}/{Database}"),
            RespTopology.Cluster => $"{scheme}+cluster://{hosts}",
            _ when Endpoints[0].SocketPath is { } path => string.Create(CultureInfo.InvariantCulture, $"unix://{path}?db={Database}"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{scheme}://{hosts}/{Database}"),
        };
    }

    private static bool TryTakeCredentials(ref string authority, out RespCredentials? credentials, out string fault)
    {
        credentials = null;
        fault = "";
        int at = authority.LastIndexOf('@');
        if (at < 0)
        {
            return true;
        }

        string text = authority[..at];
        authority = authority[(at + 1)..];
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0)
        {
            fault = "Credentials in a Redis URL are written user:password@ or :password@.";
            return false;
        }

        credentials = new RespCredentials(Uri.UnescapeDataString(text[..colon]), Uri.UnescapeDataString(text[(colon + 1)..]));
        return true;
    }

    private static bool TryParseSocket(
        string authority, string path, RespCredentials? credentials, [NotNullWhen(true)] out RespUrl? parsed, out string fault)
    {
        parsed = null;
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

        parsed = new RespUrl { Endpoints = [RespEndpoint.Socket(path)], Database = database, Credentials = credentials };
        return true;
    }

    private static bool TryParseHosts(string text, int defaultPort, bool tls, out List<RespEndpoint> endpoints, out string fault)
    {
        endpoints = [];
        fault = "";
        foreach (string part in text.Split(','))
        {
            int colon = part.LastIndexOf(':');
            string host = part;
            int port = defaultPort;
            if (colon >= 0 && !part.EndsWith(']'))
            {
                if (!int.TryParse(part.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is < 1 or > 65535)
                {
                    fault = "The port of a Redis URL is a number from 1 to 65535.";
                    return false;
                }

                host = part[..colon];
            }

            host = host.Trim('[', ']');
            if (host.Length == 0)
            {
                fault = "A Redis URL names a host: redis://host:6379, or several: redis+cluster://host1:6379,host2:6379.";
                return false;
            }

            endpoints.Add(RespEndpoint.Tcp(host, port, tls));
        }

        if (endpoints.Count > MaxHosts)
        {
            fault = $"A Redis URL may list {MaxHosts} hosts; a few are enough to find the others.";
            return false;
        }

        return true;
    }

    private static bool TryParsePath(RespTopology topology, string path, out string masterName, out int database, out string fault)
    {
        masterName = "";
        database = 0;
        fault = "";
        string rest = path.Length > 0 ? path[1..] : "";
        switch (topology)
        {
            case RespTopology.Sentinel:
                int slash = rest.IndexOf('/', StringComparison.Ordinal);
                masterName = Uri.UnescapeDataString(slash < 0 ? rest : rest[..slash]);
                rest = slash < 0 ? "" : rest[(slash + 1)..];
                if (masterName.Length == 0)
                {
                    fault = "A sentinel URL names the master: redis+sentinel://host1:26379,host2:26379/mymaster.";
                    return false;
                }

                break;
            case RespTopology.Cluster when rest.Length > 0:
                fault = "A cluster has no databases but the first: nothing may follow the hosts.";
                return false;
        }

        if (rest.Length > 0 && !TryParseDatabase(rest, out database))
        {
            fault = "At the end of a Redis URL only /NUMBER, the database, may follow.";
            return false;
        }

        return true;
    }

    private static bool TryParseDatabase(string text, out int database) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out database);
}

/// <param name="User">Empty: the user "default", the one that a server with only a password has.</param>
internal sealed record RespCredentials(string User, string Password)
{
    public string UserOrDefault => User.Length == 0 ? "default" : User;

    /// <summary>Never the password.</summary>
    public override string ToString() => UserOrDefault;
}
