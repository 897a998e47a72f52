using System.Diagnostics.CodeAnalysis;
using Slipway.Native;

namespace Slipway.NixCache.Formats;

/// <summary>One <c>Sig</c> of a narinfo. Strict, because a malformed one under a trusted name stops a client's whole command (nix.md 2.1).</summary>
internal sealed record NarSignature(string KeyName, byte[] Signature)
{
    /// <summary>Ours; Nix has none. Names are host names with a number in practice.</summary>
    public const int MaxKeyNameLength = 255;

    private const int Base64Length = 88;

    /// <summary>Reads <c>name:base64</c> with exactly 64 bytes in canonical base64.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out NarSignature? signature)
    {
        signature = null;
        var colon = text.IndexOf(':');
        if (colon < 0 || !IsKeyName(text[..colon]) || text.Length - colon - 1 != Base64Length)
        {
            return false;
        }

        var base64 = text[(colon + 1)..];
        var bytes = new byte[Ed25519.SignatureSize];
        Span<byte> decoded = stackalloc byte[Base64Length / 4 * 3];
        if (!Convert.TryFromBase64Chars(base64, decoded, out var written)
            || written != Ed25519.SignatureSize
            || !base64.SequenceEqual(Convert.ToBase64String(decoded[..written])))
        {
            return false;
        }

        decoded[..written].CopyTo(bytes);
        signature = new NarSignature(new string(text[..colon]), bytes);
        return true;
    }

    /// <summary>Printable ASCII without space and colon, 1 to 255 characters.</summary>
    public static bool IsKeyName(ReadOnlySpan<char> name) =>
        name.Length is >= 1 and <= MaxKeyNameLength && !name.ContainsAnyExceptInRange('!', '~') && !name.Contains(':');

    public bool Equals(NarSignature? other) =>
        other is not null && KeyName == other.KeyName && Signature.AsSpan().SequenceEqual(other.Signature);

    public override int GetHashCode() => HashCode.Combine(KeyName, BitConverter.ToInt64(Signature));

    public override string ToString() => $"{KeyName}:{Convert.ToBase64String(Signature)}";
}
