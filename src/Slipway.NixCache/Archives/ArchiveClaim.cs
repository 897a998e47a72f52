using System.Text;
using Slipway.Api;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>Reads what an archive entry claims with the same strict grammar as a narinfo.</summary>
internal static class ArchiveClaim
{
    public static NarInfo Of(ArchiveEntry entry)
    {
        if (entry.References.Contains(null!) || entry.Signatures?.Contains(null!) == true)
        {
            throw NarRejectedException.Because($"The entry of {entry.StorePath} is malformed: references and signatures must not be null.");
        }

        // One parser for claims, whichever way they come: an entry is a narinfo in other clothes.
        var text = new StringBuilder()
            .Append("StorePath: ").Append(entry.StorePath)
            .Append("\nURL: nar/archive\nCompression: ").Append(entry.Compression)
            .Append("\nNarHash: ").Append(entry.NarHash)
            .Append("\nNarSize: ").Append(entry.NarSize)
            .Append("\nReferences: ").AppendJoin(' ', entry.References.Select(BaseName)).Append('\n');
        Line(text, "Deriver", entry.Deriver is null ? null : BaseName(entry.Deriver));
        Line(text, "CA", entry.ContentAddress);
        foreach (var signature in entry.Signatures ?? [])
        {
            Line(text, "Sig", signature);
        }

        return NarInfo.TryParse(Encoding.UTF8.GetBytes(text.ToString()), out var claimed, out var fault)
            ? claimed
            : throw NarRejectedException.Because($"The entry of {entry.StorePath} is malformed: {fault}");
    }

    private static void Line(StringBuilder text, string key, string? value)
    {
        if (value is not null)
        {
            text.Append(key).Append(": ").Append(value).Append('\n');
        }
    }

    private static string BaseName(string path) => path.StartsWith("/nix/store/", StringComparison.Ordinal) ? path["/nix/store/".Length..] : path;
}
