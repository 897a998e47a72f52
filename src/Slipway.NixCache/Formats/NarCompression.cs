using Slipway.Native;

namespace Slipway.NixCache.Formats;

/// <summary>How the compression of a NAR is spelled in a narinfo and at the end of its file's name.</summary>
internal static class NarCompression
{
    /// <summary>What a narinfo without the line means; the archaic default of the first caches.</summary>
    public const string WhenMissing = "bzip2";

    /// <summary>For error messages.</summary>
    public const string Accepted = "none, zstd, xz or bzip2";

    public static bool TryParse(string name, out CompressionFormat format)
    {
        (var known, format) = name switch
        {
            "none" => (true, CompressionFormat.None),
            "zstd" => (true, CompressionFormat.Zstd),
            "xz" => (true, CompressionFormat.Xz),
            "bzip2" => (true, CompressionFormat.Bzip2),
            _ => (false, default),
        };
        return known;
    }

    public static string NameOf(CompressionFormat format) => format switch
    {
        CompressionFormat.None => "none",
        CompressionFormat.Zstd => "zstd",
        CompressionFormat.Xz => "xz",
        CompressionFormat.Bzip2 => "bzip2",
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "Not a compression format."),
    };

    /// <summary>What follows <c>.nar</c> in the file name, dot included; empty for none.</summary>
    public static string ExtensionOf(CompressionFormat format) => format switch
    {
        CompressionFormat.None => "",
        CompressionFormat.Zstd => ".zst",
        CompressionFormat.Xz => ".xz",
        CompressionFormat.Bzip2 => ".bz2",
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "Not a compression format."),
    };

    /// <summary>The format that an extension (<c>.zst</c>, or empty) tells.</summary>
    public static bool TryParseExtension(ReadOnlySpan<char> extension, out CompressionFormat format)
    {
        (var known, format) = extension switch
        {
            "" => (true, CompressionFormat.None),
            ".zst" => (true, CompressionFormat.Zstd),
            ".xz" => (true, CompressionFormat.Xz),
            ".bz2" => (true, CompressionFormat.Bzip2),
            _ => (false, default),
        };
        return known;
    }
}
