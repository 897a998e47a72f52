using System.Globalization;
using System.Text;

namespace Slipway.NixCache.Formats;

/// <summary>Reads one narinfo line by line and stops at the first fault. For one use.</summary>
internal sealed class NarInfoReader
{
    private const int MaxUrlLength = 4_096;
    private const int MaxSystemLength = 255;

    private readonly HashSet<string> seen = [];
    private readonly List<NarSignature> signatures = [];

    private StorePath? storePath;
    private string? url;
    private string compression = NarCompression.WhenMissing;
    private NixHash? fileHash;
    private long? fileSize;
    private NixHash? narHash;
    private long narSize;
    private IReadOnlyList<StorePath> references = [];
    private StorePath? deriver;
    private string? system;
    private ContentAddress? contentAddress;

    public (NarInfo? NarInfo, string? Fault) Read(ReadOnlySpan<byte> text)
    {
        if (text.IsEmpty)
        {
            return (null, "The narinfo is empty.");
        }

        if (text.Length > NarInfo.MaxBytes)
        {
            return (null, $"The narinfo has {text.Length:N0} bytes; at most {NarInfo.MaxBytes:N0} are allowed.");
        }

        for (var line = 1; !text.IsEmpty; line++)
        {
            var end = text.IndexOf((byte)'\n');
            if (end < 0)
            {
                return (null, $"Line {line}: the last line has to end with a line feed, or Nix takes the file for corrupt.");
            }

            if (ReadLine(text[..end]) is { } fault)
            {
                return (null, $"Line {line}: {fault}");
            }

            text = text[(end + 1)..];
        }

        return Assemble();
    }

    private (NarInfo? NarInfo, string? Fault) Assemble()
    {
        var missing = (storePath, url, narHash, narSize) switch
        {
            (null, _, _, _) => "StorePath",
            (_, null, _, _) => "URL",
            (_, _, null, _) => "NarHash",
            (_, _, _, 0) => "NarSize",
            _ => null,
        };
        if (missing is not null)
        {
            return (null, $"The line '{missing}: …' is missing; StorePath, URL, NarHash and NarSize are required.");
        }

        return (new NarInfo
        {
            StorePath = storePath!,
            Url = url!,
            Compression = compression,
            FileHash = fileHash,
            FileSize = fileSize,
            NarHash = narHash!.Value,
            NarSize = narSize,
            References = references,
            Deriver = deriver,
            System = system,
            Signatures = signatures,
            ContentAddress = contentAddress,
        }, null);
    }

    private string? ReadLine(ReadOnlySpan<byte> line)
    {
        if (line.EndsWith((byte)'\r'))
        {
            return "ends with a carriage return; write line feeds only (no CRLF).";
        }

        if (line.ContainsAnyExceptInRange((byte)' ', (byte)'~'))
        {
            return "contains a control character or a character outside ASCII; remove it.";
        }

        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || colon + 1 == line.Length || line[colon + 1] != (byte)' ')
        {
            return "has to be 'Key: value', with one space after the colon even when the value is empty.";
        }

        var key = Encoding.ASCII.GetString(line[..colon]);
        var value = Encoding.ASCII.GetString(line[(colon + 2)..]);
        if (key is not "Sig" && IsKnown(key) && !seen.Add(key))
        {
            return $"'{key}' is there a second time; keep one.";
        }

        return ReadValue(key, value);
    }

    private static bool IsKnown(string key) => key
        is "StorePath" or "URL" or "Compression" or "FileHash" or "FileSize" or "NarHash" or "NarSize"
        or "References" or "Deriver" or "System" or "Sig" or "CA";

    private string? ReadValue(string key, string value)
    {
        switch (key)
        {
            case "StorePath":
                return StorePath.TryParse(value, out storePath)
                    ? null
                    : $"StorePath has to be a full path such as {StorePath.Folder}/<32 characters>-<name>.";
            case "URL":
                url = value;
                return value.Length is >= 1 and <= MaxUrlLength && !value.Contains(' ')
                    ? null
                    : $"URL has to be 1 to {MaxUrlLength:N0} characters without spaces, such as nar/<hash>.nar.zst.";
            case "Compression":
                compression = value;
                return NarCompression.TryParse(value, out _) ? null : $"Compression '{Shortened(value)}' is not supported; use {NarCompression.Accepted}.";
            case "FileHash":
                return ReadHash(key, value, out fileHash);
            case "FileSize":
                var fault = ReadSize(key, value, out var fileSize);
                this.fileSize = fileSize;
                return fault;
            case "NarHash":
                return ReadHash(key, value, out narHash);
            case "NarSize":
                return ReadSize(key, value, out narSize);
            case "References":
                return ReadReferences(value);
            case "Deriver":
                return value == "unknown-deriver" || (StorePath.TryParseBaseName(value, out deriver) && deriver.IsDerivation)
                    ? null
                    : "Deriver has to be the base name of a derivation (<32 characters>-<name>.drv), or unknown-deriver.";
            case "System":
                system = value.Length == 0 ? null : value;
                return value.Length <= MaxSystemLength ? null : $"System has to have at most {MaxSystemLength} characters.";
            case "Sig":
                return ReadSignature(value);
            case "CA":
                return ContentAddress.TryParse(value, out contentAddress)
                    ? null
                    : "CA has to be text:sha256:<hash>, fixed:<algorithm>:<hash> or fixed:r:<algorithm>:<hash>, with md5, sha1, sha256 or sha512 in nix32.";
            default:
                // Nix ignores keys it doesn't know, so that newer ones can be added.
                return null;
        }
    }

    private static string? ReadHash(string key, string value, out NixHash? hash)
    {
        var known = NixHash.TryParse(value, out var parsed);
        hash = parsed;
        return known ? null : $"{key} has to be sha256: and 52 nix32 characters (or 64 hex digits).";
    }

    private static string? ReadSize(string key, string value, out long size) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out size) && size > 0
            ? null
            : $"{key} has to be a number of bytes greater than 0.";

    private string? ReadReferences(string value)
    {
        var paths = new SortedSet<StorePath>();
        var count = 0;
        foreach (var range in value.AsSpan().Split(' '))
        {
            var name = value.AsSpan()[range];
            if (name.IsEmpty)
            {
                continue;
            }

            if (++count > NarInfo.MaxReferences)
            {
                return $"References has more than {NarInfo.MaxReferences:N0} paths.";
            }

            if (!StorePath.TryParseBaseName(name, out var path))
            {
                return $"the reference '{Shortened(name)}' is not the base name of a store path; write <32 characters>-<name>, without {StorePath.Folder}/.";
            }

            paths.Add(path);
        }

        references = [.. paths];
        return null;
    }

    private string? ReadSignature(string value)
    {
        if (!NarSignature.TryParse(value, out var signature))
        {
            return "Sig has to be <key name>:<base64 of 64 bytes>.";
        }

        if (!signatures.Contains(signature))
        {
            signatures.Add(signature);
        }

        return signatures.Count <= NarInfo.MaxSignatures ? null : $"there are more than {NarInfo.MaxSignatures} signatures.";
    }

    private static string Shortened(ReadOnlySpan<char> value) => value.Length <= 80 ? new string(value) : $"{value[..80]}…";
}
