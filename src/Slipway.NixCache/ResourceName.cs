using System.Text.RegularExpressions;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>Names of caches and stores: they stand in URLs and in signing keys' names, so they have no dots or slashes.</summary>
internal static partial class ResourceName
{
    public static void Check(Faults faults, string pointer, string name) =>
        faults.Require(Form().IsMatch(name), pointer, "must have 2 to 39 characters of a-z, 0-9 and -, starting with a letter");

    [GeneratedRegex("^[a-z][a-z0-9-]{1,38}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}
