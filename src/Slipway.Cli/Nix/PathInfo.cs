using System.Text.Json;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Nix;

/// <summary>What the local nix knows of a valid store path.</summary>
/// <param name="NarHash"><c>sha256:</c> and 52 nix32 characters.</param>
/// <param name="References">Full paths; may name the path itself.</param>
internal sealed record PathInfo(
    string StorePath,
    string NarHash,
    long NarSize,
    IReadOnlyList<string> References,
    string? Deriver,
    string? ContentAddress,
    IReadOnlyList<string> Signatures)
{
    /// <summary>
    /// Reads <c>nix path-info --json</c> in each of its forms: an array of objects with <c>path</c> (to 2.18), an object by path (from
    /// 2.19), and that inside <c>info</c> with base names (format 2).
    /// </summary>
    public static List<PathInfo> Parse(ReadOnlyMemory<byte> json)
    {
        using var document = JsonDocument.Parse(json);
        var root = document.RootElement;
        if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("info", out var info) && info.ValueKind == JsonValueKind.Object)
        {
            root = info;
        }

        return root.ValueKind == JsonValueKind.Array
            ? [.. root.EnumerateArray().Select(element => ReadOne(element.GetProperty("path").GetString()!, element))]
            : [.. root.EnumerateObject().Select(property => ReadOne(property.Name, property.Value))];
    }

    private static PathInfo ReadOne(string path, JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.Object || (element.TryGetProperty("valid", out var valid) && valid.ValueKind == JsonValueKind.False))
        {
            throw new CliFailure(ExitCodes.NotFound, "path_not_valid", $"{path} is not valid in the local store")
            {
                Try = [$"nix-store --realise {path}"],
            };
        }

        return new PathInfo(
            Full(path),
            NixHash.ToNix32(element.GetProperty("narHash").GetString()!),
            element.GetProperty("narSize").GetInt64(),
            [.. Strings(element, "references").Select(Full)],
            element.TryGetProperty("deriver", out var deriver) && deriver.GetString() is { } text ? Full(text) : null,
            element.TryGetProperty("ca", out var address) ? ReadAddress(address) : null,
            [.. Strings(element, "signatures")]);
    }

    private static string? ReadAddress(JsonElement address)
    {
        if (address.ValueKind == JsonValueKind.String)
        {
            return address.GetString();
        }

        if (address.ValueKind != JsonValueKind.Object)
        {
            return null;
        }

        var hash = NixHash.ToNix32(address.GetProperty("hash").GetString()!);
        return address.GetProperty("method").GetString() switch
        {
            "text" => $"text:{hash}",
            "nar" => $"fixed:r:{hash}",
            "flat" => $"fixed:{hash}",
            _ => null,
        };
    }

    private static IEnumerable<string> Strings(JsonElement element, string name) =>
        element.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().Select(item => item.GetString()!)
            : [];

    private static string Full(string path) => path.StartsWith('/') ? path : StorePathName.StoreFolder + path;
}

/// <summary>Hashes as nix writes them.</summary>
internal static class NixHash
{
    private const string Alphabet = "0123456789abcdfghijklmnpqrsvwxyz";

    /// <summary><c>sha256-base64</c>, <c>sha256:hex</c> or <c>sha256:nix32</c>, as the last.</summary>
    public static string ToNix32(string hash)
    {
        if (hash.StartsWith("sha256-", StringComparison.Ordinal))
        {
            return "sha256:" + Encode(Convert.FromBase64String(hash["sha256-".Length..]));
        }

        return hash.Length == "sha256:".Length + 64 ? "sha256:" + Encode(Convert.FromHexString(hash["sha256:".Length..])) : hash;
    }

    /// <summary>Five bits a character, the last bits first, from the end.</summary>
    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        Span<char> text = stackalloc char[((bytes.Length * 8) + 4) / 5];
        for (var i = 0; i < text.Length; i++)
        {
            var bit = i * 5;
            var (index, shift) = (bit / 8, bit % 8);
            var high = index + 1 < bytes.Length ? bytes[index + 1] << (8 - shift) : 0;
            text[^(i + 1)] = Alphabet[((bytes[index] >> shift) | high) & 31];
        }

        return text.ToString();
    }
}
