using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.NixCache.Formats;

/// <summary>How the content of a content-addressed path was hashed.</summary>
internal enum ContentAddressMethod
{
    /// <summary><c>text:</c> a file made by Nix itself (a derivation, <c>toFile</c>), with references.</summary>
    Text,

    /// <summary><c>fixed:</c> the bytes of one file.</summary>
    Flat,

    /// <summary><c>fixed:r:</c> the NAR.</summary>
    Recursive,
}

/// <summary>
/// The <c>CA</c> of a narinfo. Such a path needs no signature, because its store path follows from the hash: so it has to be
/// recomputed before it is believed.
/// </summary>
/// <param name="Algorithm"><c>md5</c>, <c>sha1</c>, <c>sha256</c> or <c>sha512</c>.</param>
internal sealed record ContentAddress(ContentAddressMethod Method, string Algorithm, byte[] Hash)
{
    /// <summary>Reads <c>text:sha256:…</c>, <c>fixed:algo:…</c> or <c>fixed:r:algo:…</c>, the hash in nix32.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out ContentAddress? address)
    {
        address = null;
        var (method, prefix) = text.StartsWith("text:") ? (ContentAddressMethod.Text, "text:")
            : text.StartsWith("fixed:r:") ? (ContentAddressMethod.Recursive, "fixed:r:")
            : (ContentAddressMethod.Flat, "fixed:");
        if (!text.StartsWith(prefix))
        {
            return false;
        }

        text = text[prefix.Length..];
        var colon = text.IndexOf(':');
        var (algorithm, size) = colon < 0 ? ("", 0) : text[..colon] switch
        {
            "md5" => ("md5", MD5.HashSizeInBytes),
            "sha1" => ("sha1", SHA1.HashSizeInBytes),
            "sha256" => ("sha256", SHA256.HashSizeInBytes),
            "sha512" => ("sha512", SHA512.HashSizeInBytes),
            _ => ("", 0),
        };
        var hash = new byte[size];
        if (size == 0
            || (method == ContentAddressMethod.Text && algorithm != "sha256")
            || !Nix32.TryDecode(text[(colon + 1)..], hash))
        {
            return false;
        }

        address = new ContentAddress(method, algorithm, hash);
        return true;
    }

    /// <summary>
    /// The store path that this content has under <paramref name="name"/>, as Nix makes it. Null when Nix makes no such path: a
    /// text that refers to itself, or a hash other than <c>fixed:r:sha256</c> with references.
    /// </summary>
    /// <param name="references">All references but the one to itself.</param>
    /// <param name="hasSelfReference">
    /// Such a path's hash is that of the NAR with its own hash part blanked out, so it can't be compared with the NarHash; the
    /// store path follows from it all the same.
    /// </param>
    public StorePath? ComputeStorePath(string name, IEnumerable<StorePath> references, bool hasSelfReference)
    {
        var sorted = references.Order().ToList();
        if (Method == ContentAddressMethod.Text)
        {
            return hasSelfReference ? null : MakeStorePath(TypeWith("text", sorted, self: false), Hash, name);
        }

        if (Method == ContentAddressMethod.Recursive && Algorithm == "sha256")
        {
            return MakeStorePath(TypeWith("source", sorted, hasSelfReference), Hash, name);
        }

        if (sorted.Count > 0 || hasSelfReference)
        {
            return null;
        }

        var recursive = Method == ContentAddressMethod.Recursive ? "r:" : "";
        var inner = SHA256.HashData(Encoding.ASCII.GetBytes($"fixed:out:{recursive}{Algorithm}:{Convert.ToHexStringLower(Hash)}:"));
        return MakeStorePath("output:out", inner, name);
    }

    public bool Equals(ContentAddress? other) =>
        other is not null && Method == other.Method && Algorithm == other.Algorithm && Hash.AsSpan().SequenceEqual(other.Hash);

    public override int GetHashCode() => HashCode.Combine(Method, Algorithm, BitConverter.ToInt64(Hash));

    public override string ToString() => Method switch
    {
        ContentAddressMethod.Text => $"text:{Algorithm}:{Nix32.Encode(Hash)}",
        ContentAddressMethod.Flat => $"fixed:{Algorithm}:{Nix32.Encode(Hash)}",
        _ => $"fixed:r:{Algorithm}:{Nix32.Encode(Hash)}",
    };

    private static string TypeWith(string type, List<StorePath> references, bool self)
    {
        var text = new StringBuilder(type);
        foreach (var reference in references)
        {
            text.Append(':').Append(reference.FullPath);
        }

        return text.Append(self ? ":self" : "").ToString();
    }

    private static StorePath? MakeStorePath(string type, byte[] innerHash, string name)
    {
        if (!StorePath.IsName(name))
        {
            return null;
        }

        var digest = SHA256.HashData(Encoding.ASCII.GetBytes($"{type}:sha256:{Convert.ToHexStringLower(innerHash)}:{StorePath.Folder}:{name}"));
        var compressed = new byte[StorePathHash.Size];
        for (var i = 0; i < digest.Length; i++)
        {
            compressed[i % StorePathHash.Size] ^= digest[i];
        }

        return StorePath.Create(new StorePathHash(compressed), name);
    }
}
