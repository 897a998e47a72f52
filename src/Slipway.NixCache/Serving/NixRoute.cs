using Slipway.Content;
using Slipway.Native;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

internal enum NixFile
{
    CacheInfo,
    NarInfo,
    Listing,
    Nar,
    Log,
    Realisation,
    DebugInfo,
}

/// <summary>
/// A path below a cache's URL, read strictly: what does not match one of these grammars exactly does not exist. URL text never
/// becomes a file name.
/// </summary>
/// <remarks>
/// <code>
/// nix-cache-info
/// {32 nix32}.narinfo | .ls
/// nar/{52 nix32}.nar[.zst|.xz|.bz2]
/// log/{store path base name}.drv
/// realisations/sha256:{64 hex}!{output}.doi
/// debuginfo/{40 hex}[.debug]
/// </code>
/// </remarks>
internal readonly struct NixRoute
{
    public NixFile File { get; private init; }

    /// <summary>Of a narinfo or listing.</summary>
    public StorePathHash Hash { get; private init; }

    /// <summary>Of a NAR.</summary>
    public Digest FileHash { get; private init; }

    /// <summary>Of a NAR.</summary>
    public CompressionFormat Compression { get; private init; }

    /// <summary>The derivation of a log, the id of a realisation.</summary>
    public string Name { get; private init; }

    public static bool TryParse(ReadOnlySpan<char> path, out NixRoute route)
    {
        const int HashCharacters = 32;
        route = default;
        if (path.Length > HashCharacters && path[HashCharacters] == '.' && StorePathHash.TryParse(path[..HashCharacters], out var hash))
        {
            NixFile? file = path[HashCharacters..] switch { ".narinfo" => NixFile.NarInfo, ".ls" => NixFile.Listing, _ => null };
            route = new NixRoute { File = file.GetValueOrDefault(), Hash = hash };
            return file is not null;
        }

        if (path.StartsWith("nar/") && NarFileName.TryParse(path[4..], out var fileHash, out var compression))
        {
            route = new NixRoute { File = NixFile.Nar, FileHash = fileHash, Compression = compression };
            return true;
        }

        if (path is "nix-cache-info")
        {
            route = new NixRoute { File = NixFile.CacheInfo };
            return true;
        }

        if (path.StartsWith("log/") && StorePath.TryParseBaseName(path[4..].ToString(), out var derivation) && derivation.IsDerivation)
        {
            route = new NixRoute { File = NixFile.Log, Name = derivation.BaseName };
            return true;
        }

        if (path.StartsWith("realisations/") && path.EndsWith(".doi") && RealisationId.IsValid(path[13..^4]))
        {
            route = new NixRoute { File = NixFile.Realisation, Name = path[13..^4].ToString() };
            return true;
        }

        if (path.StartsWith("debuginfo/") && IsBuildId(path[10..]))
        {
            route = new NixRoute { File = NixFile.DebugInfo };
            return true;
        }

        return false;
    }

    private static bool IsBuildId(ReadOnlySpan<char> text)
    {
        text = text.EndsWith(".debug") ? text[..^6] : text;
        return text.Length == 40 && !text.ContainsAnyExcept("0123456789abcdef");
    }
}

/// <summary>The id of a realisation: <c>sha256:{64 hex}!{output name}</c>.</summary>
internal static class RealisationId
{
    public static bool IsValid(ReadOnlySpan<char> id)
    {
        const int HexFrom = 7;
        const int Bang = HexFrom + 64;
        return id.Length is > Bang + 1 and <= Bang + 1 + 64
            && id.StartsWith("sha256:")
            && !id[HexFrom..Bang].ContainsAnyExcept("0123456789abcdef")
            && id[Bang] == '!'
            && !id[(Bang + 1)..].ContainsAnyExcept("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._?=");
    }
}
