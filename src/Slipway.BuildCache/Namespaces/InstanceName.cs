using System.Collections.Frozen;

namespace Slipway.BuildCache.Namespaces;

/// <summary>
/// An <c>instance_name</c> of the Remote Execution API, taken apart: <c>org/cache</c> or <c>org/cache/sub/…</c>.
/// </summary>
/// <remarks>
/// The part below the cache is a sub-namespace: action results written there are found there only, blobs are the cache's. It needs
/// no set-up, shares the cache's quota and settings, and is part of what a key's pattern is matched with.
/// </remarks>
internal readonly ref struct InstanceName
{
    /// <summary>An org and a cache of 39 characters each, and 174 for branches; longer ones would make a resource name longer than 400.</summary>
    public const int LongestName = 254;

    /// <summary>Segments that say where a resource name's instance ends (REAPI, "instance names").</summary>
    private static readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> Reserved =
        FrozenSet.Create(StringComparer.Ordinal, "blobs", "uploads", "actions", "actionResults", "operations", "capabilities", "compressed-blobs")
            .GetAlternateLookup<ReadOnlySpan<char>>();

    public ReadOnlySpan<char> Org { get; private init; }

    /// <summary><c>org/cache</c>.</summary>
    public ReadOnlySpan<char> FullName { get; private init; }

    /// <summary>What is below the cache; empty for the cache itself.</summary>
    public ReadOnlySpan<char> Sub { get; private init; }

    /// <summary>False for what no build cache can be called.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out InstanceName name)
    {
        name = default;
        var org = text.IndexOf('/');
        if (org < 1 || text.Length > LongestName)
        {
            return false;
        }

        foreach (var range in text.Split('/'))
        {
            var segment = text[range];
            if (segment is [] or "." or ".." || segment.ContainsAnyExcept("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") || Reserved.Contains(segment))
            {
                return false;
            }
        }

        var cache = text[(org + 1)..].IndexOf('/');
        name = new InstanceName
        {
            Org = text[..org],
            FullName = cache < 0 ? text : text[..(org + 1 + cache)],
            Sub = cache < 0 ? [] : text[(org + cache + 2)..],
        };
        return true;
    }
}
