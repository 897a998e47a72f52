using Slipway.Content;

namespace Slipway.NixCache.Formats;

/// <summary>A SHA-256 in the spellings Nix knows. Written as <c>sha256:</c> and 52 nix32 characters, which is what signatures cover.</summary>
internal readonly record struct NixHash(Digest Digest)
{
    private const string Prefix = "sha256:";
    private const string SriPrefix = "sha256-";

    /// <summary>The 52 nix32 characters alone, as in the names of NAR files.</summary>
    public string Nix32Text => Nix32.Encode(Digest.AsSpan());

    /// <summary>Reads <c>sha256:</c> with nix32 or lowercase hex, or SRI's <c>sha256-</c> with base64.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out NixHash hash)
    {
        hash = default;
        if (text.StartsWith(Prefix))
        {
            var value = text[Prefix.Length..];
            if (Digest.TryParse(value, out var fromHex))
            {
                hash = new NixHash(fromHex);
                return true;
            }

            return TryParseNix32(value, out hash);
        }

        const int base64Length = 44;
        Span<byte> bytes = stackalloc byte[Digest.Size + 1];
        if (!text.StartsWith(SriPrefix)
            || text.Length != SriPrefix.Length + base64Length
            || !Convert.TryFromBase64Chars(text[SriPrefix.Length..], bytes, out var written)
            || written != Digest.Size
            || !text[SriPrefix.Length..].SequenceEqual(Convert.ToBase64String(bytes[..Digest.Size])))
        {
            return false;
        }

        hash = new NixHash(Digest.FromBytes(bytes[..Digest.Size]));
        return true;
    }

    /// <summary>Reads the 52 nix32 characters alone.</summary>
    public static bool TryParseNix32(ReadOnlySpan<char> text, out NixHash hash)
    {
        hash = default;
        Span<byte> bytes = stackalloc byte[Digest.Size];
        if (!Nix32.TryDecode(text, bytes))
        {
            return false;
        }

        hash = new NixHash(Digest.FromBytes(bytes));
        return true;
    }

    public override string ToString() => Prefix + Nix32Text;
}
