namespace Slipway.Native;

/// <summary>
/// A streaming decoder: spans in, spans out, no buffer of its own beyond the format's window. Not thread-safe.
/// </summary>
/// <remarks>
/// <code>
/// input ──▶ Decompress ──▶ output        call again with what was not consumed, until nothing is left to consume
///              │                         and the output was not filled; then <see cref="AtEnd"/> tells a complete
///              └─ FrameEnded             file from a truncated one
/// </code>
/// The limits bound memory, not the amount of output: the caller counts what it gets and stops when that is too much.
/// </remarks>
public abstract class Decompressor : IDisposable
{
    private protected Decompressor()
    {
    }

    /// <summary>
    /// True when the input so far is a complete file: it ends exactly where a frame or stream ends, and there was at least one.
    /// </summary>
    public abstract bool AtEnd { get; }

    /// <summary>A decoder for <paramref name="format"/>; <see cref="CompressionFormat.None"/> passes bytes through.</summary>
    public static Decompressor Create(CompressionFormat format, DecompressionLimits limits) => format switch
    {
        CompressionFormat.None => new StoredDecompressor(),
        CompressionFormat.Zstd => new ZstdDecompressor(limits),
        CompressionFormat.Xz => new XzDecompressor(limits),
        CompressionFormat.Bzip2 => new Bzip2Decompressor(),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "Not a compression format."),
    };

    /// <summary>
    /// Decodes as much of <paramref name="input"/> as fits into <paramref name="output"/>. Stops at the end of each frame.
    /// With empty input it writes what the decoder still holds back for want of output room.
    /// </summary>
    /// <exception cref="InvalidDataException">The input is corrupt, of another format, or has garbage after a frame.</exception>
    /// <exception cref="DecompressionLimitException">The input needs a larger window or more memory than allowed.</exception>
    public abstract CodecResult Decompress(ReadOnlySpan<byte> input, Span<byte> output);

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    private protected abstract void Dispose(bool disposing);
}
