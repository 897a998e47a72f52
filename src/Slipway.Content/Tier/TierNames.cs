using System.Globalization;

namespace Slipway.Content;

/// <summary>
/// The names of a store's objects.
/// <code>
///   stores/&lt;store&gt;/servers/&lt;server&gt;                           how far that server's log goes; rewritten, its age shows whether it lives
///   stores/&lt;store&gt;/log/&lt;server&gt;/&lt;number&gt;                      what it added and took away, in order; each written once
///   stores/&lt;store&gt;/snapshots/&lt;server&gt;/&lt;number&gt;                what it has after so much of its log
///   stores/&lt;store&gt;/objects/&lt;server&gt;/&lt;space&gt;/s&lt;number&gt;-&lt;length&gt;   a segment, or the first bytes of one that is not full, with a footer
///   stores/&lt;store&gt;/objects/&lt;server&gt;/&lt;space&gt;/f&lt;number&gt;            a large file
/// </code>
/// No object but the first kind is ever written again with other bytes.
/// </summary>
internal sealed class TierNames(Guid store)
{
    private readonly string root = $"stores/{store:n}/";

    public string Servers => root + "servers/";

    public string Server(Guid server) => $"{Servers}{server:n}";

    public string Log(Guid server, long sequence) => string.Create(CultureInfo.InvariantCulture, $"{root}log/{server:n}/{sequence:d12}");

    public string Snapshot(Guid server, long sequence) => string.Create(CultureInfo.InvariantCulture, $"{root}snapshots/{server:n}/{sequence:d12}");

    public string Objects(Guid server) => $"{root}objects/{server:n}/";

    public string Segment(Guid server, Guid space, uint number, long length) => $"{Objects(server)}{space:n}/s{number:x8}-{length:x8}";

    public string File(Guid server, Guid space, long number) => $"{Objects(server)}{space:n}/f{number:x12}";

    /// <summary>The server of a name under <see cref="Servers"/>; null for anything else.</summary>
    public Guid? ServerOf(string key) => Guid.TryParseExact(key.AsSpan(Servers.Length), "n", out var server) ? server : null;
}
