using System.Globalization;

namespace Slipway.Resp;

/// <summary>Who has which slots, by the word of one node.</summary>
internal sealed class ClusterTopology
{
    /// <summary>Masters and slots, in ranges.</summary>
    public List<(int First, int Last, RespEndpoint Master)> Ranges { get; } = [];

    /// <summary>Masters and replicas: any of them can be asked and listened to.</summary>
    public HashSet<RespEndpoint> All { get; } = [];

    /// <summary>Reads <c>CLUSTER SLOTS</c>: <c>[first, last, [host, port, id, …] of the master, … of its replicas]</c>.</summary>
    /// <exception cref="RespException">Not such an answer.</exception>
    public static ClusterTopology Parse(RespValue slots, RespEndpoint answeredBy)
    {
        var topology = new ClusterTopology();
        foreach (RespValue range in slots.Items)
        {
            if (range.Items is not [var first, var last, var master, ..])
            {
                throw new RespException("CLUSTER SLOTS has a range without a master.");
            }

            int from = (int)first.AsInteger(), to = (int)last.AsInteger();
            if (from < 0 || to < from || to >= KeySlot.Count)
            {
                throw new RespException($"CLUSTER SLOTS has a range from {from} to {to}.");
            }

            topology.Ranges.Add((from, to, EndpointOf(master, answeredBy)));
            foreach (RespValue node in range.Items.Skip(2))
            {
                topology.All.Add(EndpointOf(node, answeredBy));
            }
        }

        return topology;
    }

    /// <summary>Reads <c>MOVED 3999 host:port</c> and <c>ASK 3999 host:port</c>.</summary>
    public static bool TryParseRedirection(string error, RespEndpoint answeredBy, out bool ask, out int slot, out RespEndpoint target)
    {
        string[] words = error.Split(' ');
        ask = words[0] == "ASK";
        slot = 0;
        target = answeredBy;
        if (words.Length < 3 || !int.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out slot) || slot >= KeySlot.Count)
        {
            return false;
        }

        int colon = words[2].LastIndexOf(':');
        if (colon < 0 || !int.TryParse(words[2].AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port))
        {
            return false;
        }

        target = At(words[2][..colon].Trim('[', ']'), port, answeredBy);
        return true;
    }

    private static RespEndpoint EndpointOf(RespValue node, RespEndpoint answeredBy) => node.Items is [var host, var port, ..]
        ? At(host.IsNull ? "" : host.AsString(), (int)port.AsInteger(), answeredBy)
        : throw new RespException("CLUSTER SLOTS has a node without an address.");

    /// <summary>No host ("" or null) means: the one that was asked; "?" is how Redis writes that it does not know.</summary>
    private static RespEndpoint At(string host, int port, RespEndpoint answeredBy) =>
        RespEndpoint.Tcp(host is "" or "?" ? answeredBy.Host : host, port, answeredBy.Tls);
}
