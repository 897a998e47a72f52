namespace Slipway.Native;

/// <summary>How bytes are compressed. The four formats a binary cache is sent in practice; anything else is refused by name.</summary>
public enum CompressionFormat
{
    None,
    Zstd,
    Xz,
    Bzip2,
}
