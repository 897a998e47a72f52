using Slipway.Content;

namespace Slipway.BuildCache.Wire;

/// <summary>REAPI's digest functions that are served here, by their numbers on the wire.</summary>
internal static class DigestFunction
{
    public const int Unknown = 0;
    public const int Sha256 = 1;
    public const int Blake3 = 9;

    /// <exception cref="WireFormatException">A function that isn't served.</exception>
    public static BlobKind Kind(int function) => function switch
    {
        Unknown or Sha256 => BlobKind.Sha256,
        Blake3 => BlobKind.Blake3,
        _ => throw new WireFormatException($"Digest function {function} is not served here; use SHA256 (1) or BLAKE3 (9)."),
    };

    public static int Of(BlobKind kind) => kind is BlobKind.Blake3 or BlobKind.ActionBlake3 ? Blake3 : Sha256;

    /// <summary>The kind of an action's entry, for an action digest of that function.</summary>
    public static BlobKind ActionKind(BlobKind kind) => kind == BlobKind.Blake3 ? BlobKind.ActionBlake3 : BlobKind.ActionSha256;
}

/// <summary>REAPI's compressors by their numbers on the wire.</summary>
internal static class Compressor
{
    public const int Identity = 0;
    public const int Zstd = 1;
}
