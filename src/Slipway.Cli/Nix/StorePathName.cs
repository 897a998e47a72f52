using System.Buffers;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Nix;

/// <summary>The parts of <c>/nix/store/&lt;32 nix32 characters&gt;-name</c>.</summary>
internal static class StorePathName
{
    public const string StoreFolder = "/nix/store/";
    public const int HashLength = 32;

    private static readonly SearchValues<char> Nix32 = SearchValues.Create("0123456789abcdfghijklmnpqrsvwxyz");

    /// <summary>The hash of a full path, a base name, or a hash alone.</summary>
    public static string HashOf(string text)
    {
        var name = text.AsSpan(text.LastIndexOf('/') + 1);
        if (name.Length >= HashLength && !name[..HashLength].ContainsAnyExcept(Nix32) && (name.Length == HashLength || name[HashLength] == '-'))
        {
            return name[..HashLength].ToString();
        }

        throw CliFailure.Usage($"\"{text}\" is not a store path", "slipway path list CACHE");
    }

    public static bool IsStorePath(string path) =>
        path.StartsWith(StoreFolder, StringComparison.Ordinal)
        && path.Length > StoreFolder.Length + HashLength + 1
        && path[StoreFolder.Length + HashLength] == '-'
        && !path.AsSpan(StoreFolder.Length, HashLength).ContainsAnyExcept(Nix32)
        && !path.AsSpan(StoreFolder.Length).Contains('/');
}
