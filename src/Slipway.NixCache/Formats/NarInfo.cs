using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Slipway.NixCache.Formats;

/// <summary>What a <c>.narinfo</c> says of one store path (nix.md 2.1). Written byte for byte as Nix writes it.</summary>
internal sealed record NarInfo
{
    /// <summary>Ours, for callers to check before they read: room for ten times the references that are allowed.</summary>
    public const int MaxBytes = 2 << 20;

    /// <summary>Ours: the largest real paths (system closures' top) have some thousands.</summary>
    public const int MaxReferences = 10_000;

    /// <summary>Ours: a path signed by many caches on its way has perhaps five.</summary>
    public const int MaxSignatures = 100;

    public required StorePath StorePath { get; init; }

    /// <summary>Relative to the cache's root, or absolute. Only a claim when it comes from a client.</summary>
    public required string Url { get; init; }

    /// <summary>As written; see <see cref="NarCompression"/>.</summary>
    public required string Compression { get; init; }

    public NixHash? FileHash { get; init; }

    public long? FileSize { get; init; }

    public required NixHash NarHash { get; init; }

    public required long NarSize { get; init; }

    /// <summary>Ascending by base name, without duplicates; with the path itself where it refers to itself.</summary>
    public IReadOnlyList<StorePath> References { get; init; } = [];

    public StorePath? Deriver { get; init; }

    public string? System { get; init; }

    public IReadOnlyList<NarSignature> Signatures { get; init; } = [];

    public ContentAddress? ContentAddress { get; init; }

    /// <summary>
    /// Reads a narinfo more strictly than Nix does: what is accepted here is signed and shown to every client. On failure
    /// <paramref name="fault"/> names the line and the cure.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> text, [NotNullWhen(true)] out NarInfo? narInfo, [NotNullWhen(false)] out string? fault)
    {
        var reader = new NarInfoReader();
        (narInfo, fault) = reader.Read(text);
        return narInfo is not null;
    }

    /// <summary>What is signed: <c>1;path;hash;size;references</c>, the references as full paths.</summary>
    public string Fingerprint()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"1;{StorePath.FullPath};{NarHash};{NarSize};");
        for (var i = 0; i < References.Count; i++)
        {
            text.Append(i == 0 ? "" : ",").Append(StorePath.Folder).Append('/').Append(References[i].BaseName);
        }

        return text.ToString();
    }

    /// <summary>The file, with the lines in Nix's order and the signatures in Nix's order (of their text).</summary>
    public byte[] Write()
    {
        var text = new StringBuilder(1024);
        text.Append("StorePath: ").Append(StorePath.FullPath).Append('\n');
        text.Append("URL: ").Append(Url).Append('\n');
        text.Append("Compression: ").Append(Compression).Append('\n');
        if (FileHash is { } fileHash)
        {
            text.Append("FileHash: ").Append(fileHash.ToString()).Append('\n');
        }

        if (FileSize is { } fileSize)
        {
            text.Append(CultureInfo.InvariantCulture, $"FileSize: {fileSize}\n");
        }

        text.Append("NarHash: ").Append(NarHash.ToString()).Append('\n');
        text.Append(CultureInfo.InvariantCulture, $"NarSize: {NarSize}\n");

        // With no references the space after the colon stays: without it Nix 2.8 takes the next line for a reference.
        text.Append("References: ").AppendJoin(' ', References.Select(reference => reference.BaseName)).Append('\n');
        if (Deriver is not null)
        {
            text.Append("Deriver: ").Append(Deriver.BaseName).Append('\n');
        }

        if (System is not null)
        {
            text.Append("System: ").Append(System).Append('\n');
        }

        foreach (var signature in Signatures.Select(signature => signature.ToString()).Order(StringComparer.Ordinal))
        {
            text.Append("Sig: ").Append(signature).Append('\n');
        }

        if (ContentAddress is not null)
        {
            text.Append("CA: ").Append(ContentAddress).Append('\n');
        }

        return Encoding.ASCII.GetBytes(text.ToString());
    }
}
