using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;

namespace Slipway.Tenancy;

/// <summary>Addresses as people own them: an IPv4 /24 and an IPv6 /56 are the smallest blocks that usually belong to one customer.</summary>
internal static class NetworkAddress
{
    public static string Show(IPAddress address) => (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();

    /// <summary>The caller's address as events show it.</summary>
    public static string? Of(HttpContext http) => http.Connection.RemoteIpAddress is { } address ? Show(address) : null;

    public static string Network(IPAddress? address)
    {
        if (address is null)
        {
            return "local";
        }

        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        var v4 = address.AddressFamily == AddressFamily.InterNetwork;
        var bytes = address.GetAddressBytes();
        bytes.AsSpan(v4 ? 3 : 7).Clear();
        return $"{new IPAddress(bytes)}/{(v4 ? 24 : 56)}";
    }
}
