using System.Net;
using System.Net.Sockets;

namespace Slipway.BuildCache.Assets;

/// <summary>
/// Which addresses a tenant may have this server connect to: those of the public internet. The host list of a build cache is the
/// tenant's own, so it can't be what keeps them from the machines behind our firewall.
/// </summary>
internal static class PublicAddresses
{
    // IANA's special-purpose registries, as far as they aren't globally reachable.
    private static readonly IPNetwork[] Reserved =
    [
        .. ((string[])
        [
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
            "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        ]).Select(network => IPNetwork.Parse(network)),
    ];

    public static bool Contains(IPAddress address)
    {
        // The same address in another dress.
        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        return address.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6 && !Array.Exists(Reserved, network => network.Contains(address));
    }
}
