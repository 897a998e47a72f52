using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace Slipway.NixCache.Formats;

/// <summary>A well-formed path right below <c>/nix/store</c>: a hash, a dash and a name. Ordered as Nix orders references, by base name.</summary>
internal sealed record StorePath : IComparable<StorePath>
{
    /// <summary>The only store folder that is served: signatures cover it, so paths of another one could not be used anyway.</summary>
    public const string Folder = "/nix/store";

    /// <summary>Nix's own limit: 255 bytes of a file name, less the hash, the dash, and room for <c>.lock</c> and the like.</summary>
    public const int MaxNameLength = 211;

    private const int NameStart = StorePathHash.TextLength + 1;

    private static readonly SearchValues<char> NameCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._?=");

    private StorePath(StorePathHash hash, string baseName)
    {
        Hash = hash;
        BaseName = baseName;
    }

    public StorePathHash Hash { get; }

    /// <summary>Hash, dash and name, such as <c>gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0</c>.</summary>
    public string BaseName { get; }

    /// <summary>The part after the hash, such as <c>lab-a-1.0</c>.</summary>
    public string Name => BaseName[NameStart..];

    public string FullPath => $"{Folder}/{BaseName}";

    public bool IsDerivation => BaseName.EndsWith(".drv", StringComparison.Ordinal);

    /// <summary>Makes a path from its parts; <paramref name="name"/> has to be a valid name.</summary>
    public static StorePath Create(StorePathHash hash, string name) => IsName(name)
        ? new StorePath(hash, $"{hash}-{name}")
        : throw new ArgumentException($"'{name}' is not a store path name.", nameof(name));

    /// <summary>Reads <c>/nix/store/&lt;hash&gt;-&lt;name&gt;</c>.</summary>
    public static bool TryParse(ReadOnlySpan<char> fullPath, [NotNullWhen(true)] out StorePath? path)
    {
        path = null;
        return fullPath.StartsWith(Folder) && fullPath.Length > Folder.Length && fullPath[Folder.Length] == '/'
            && TryParseBaseName(fullPath[(Folder.Length + 1)..], out path);
    }

    /// <summary>Reads <c>&lt;hash&gt;-&lt;name&gt;</c>.</summary>
    public static bool TryParseBaseName(ReadOnlySpan<char> baseName, [NotNullWhen(true)] out StorePath? path)
    {
        path = null;
        if (baseName.Length <= NameStart
            || baseName[NameStart - 1] != '-'
            || !IsName(baseName[NameStart..])
            || !StorePathHash.TryParse(baseName[..StorePathHash.TextLength], out var hash))
        {
            return false;
        }

        path = new StorePath(hash, new string(baseName));
        return true;
    }

    /// <summary>Whether Nix 2.8 takes this as the name of a store path (2.21 and later also take a leading dot).</summary>
    public static bool IsName(ReadOnlySpan<char> name) =>
        name.Length is >= 1 and <= MaxNameLength && name[0] != '.' && !name.ContainsAnyExcept(NameCharacters);

    public bool Equals(StorePath? other) => other is not null && BaseName == other.BaseName;

    public override int GetHashCode() => Hash.GetHashCode();

    public int CompareTo(StorePath? other) => string.CompareOrdinal(BaseName, other?.BaseName);

    public override string ToString() => FullPath;
}
