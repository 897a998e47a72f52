using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Slipway.Native;

namespace Slipway.NixCache.Formats;

/// <summary>A named Ed25519 key pair that signs narinfos.</summary>
internal sealed record SigningKeyPair
{
    private SigningKeyPair(string name, byte[] seed, byte[] publicKey)
    {
        Name = name;
        Seed = seed;
        PublicKey = publicKey;
    }

    /// <summary>Unique in the trust set of every client: by convention the cache's name and a number, such as <c>main.acme-1</c>.</summary>
    public string Name { get; }

    /// <summary>The 32 secret bytes.</summary>
    public byte[] Seed { get; }

    public byte[] PublicKey { get; }

    /// <summary>As in <c>trusted-public-keys</c>.</summary>
    public string PublicKeyText => $"{Name}:{Convert.ToBase64String(PublicKey)}";

    public static SigningKeyPair Generate(string name) => FromSeed(name, RandomNumberGenerator.GetBytes(Ed25519.SeedSize));

    public static SigningKeyPair FromSeed(string name, ReadOnlySpan<byte> seed) => NarSignature.IsKeyName(name)
        ? new SigningKeyPair(name, seed.ToArray(), Ed25519.PublicKey(seed))
        : throw new ArgumentException($"'{name}' is not a key name: 1 to {NarSignature.MaxKeyNameLength} printable characters without space and colon.", nameof(name));

    /// <summary>Reads Nix's secret key file: <c>name:base64</c> of seed and public key, which have to belong together.</summary>
    public static bool TryParseSecret(ReadOnlySpan<char> text, [NotNullWhen(true)] out SigningKeyPair? keyPair)
    {
        keyPair = null;
        // Seed and public key have the length of a signature, and the same grammar.
        if (!NarSignature.TryParse(text, out var parts))
        {
            return false;
        }

        var candidate = FromSeed(parts.KeyName, parts.Signature.AsSpan(0, Ed25519.SeedSize));
        if (!candidate.PublicKey.AsSpan().SequenceEqual(parts.Signature.AsSpan(Ed25519.SeedSize)))
        {
            return false;
        }

        keyPair = candidate;
        return true;
    }

    /// <summary>Reads <c>name:base64</c> of a public key.</summary>
    public static bool TryParsePublic(ReadOnlySpan<char> text, [NotNullWhen(true)] out string? name, [NotNullWhen(true)] out byte[]? publicKey)
    {
        (name, publicKey) = (null, null);
        var colon = text.IndexOf(':');
        Span<byte> bytes = stackalloc byte[Ed25519.PublicKeySize + 1];
        if (colon < 0
            || !NarSignature.IsKeyName(text[..colon])
            || text.Length - colon - 1 != 44
            || !Convert.TryFromBase64Chars(text[(colon + 1)..], bytes, out var written)
            || written != Ed25519.PublicKeySize)
        {
            return false;
        }

        name = new string(text[..colon]);
        publicKey = bytes[..written].ToArray();
        return true;
    }

    /// <summary>The value of a <c>Sig</c> line for a narinfo with this fingerprint.</summary>
    public string Sign(string fingerprint) => SignatureOf(fingerprint).ToString();

    public NarSignature SignatureOf(string fingerprint)
    {
        var signature = new byte[Ed25519.SignatureSize];
        Ed25519.Sign(Seed, Encoding.UTF8.GetBytes(fingerprint), signature);
        return new NarSignature(Name, signature);
    }

    // Not the generated one: that would show the seed to whoever logs a key pair, if its type ever becomes printable.
    public override string ToString() => PublicKeyText;
}
