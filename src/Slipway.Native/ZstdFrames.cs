namespace Slipway.Native;

/// <summary>Whole zstd files in memory: several times as fast as the streaming decoder for a few kilobytes, as there is no window to copy from.</summary>
public static unsafe class ZstdFrames
{
    // 160 kB each, kept for the life of a thread.
    [ThreadStatic]
    private static ZstdDecoderHandle? decoder;

    /// <summary>
    /// Decodes the frames that <paramref name="source"/> consists of. False when they are corrupt, of another format, cut short, or
    /// hold more than <paramref name="destination"/> has room for: memory is bounded by it, whatever the frames ask for.
    /// </summary>
    public static bool TryDecompress(ReadOnlySpan<byte> source, Span<byte> destination, out int written)
    {
        written = 0;
        if (source.IsEmpty)
        {
            return false;
        }

        decoder ??= LibZstd.ZSTD_createDCtx();
        if (decoder.IsInvalid)
        {
            decoder = null;
            throw new OutOfMemoryException("libzstd could not allocate a decoder.");
        }

        fixed (byte* from = source)
        fixed (byte* to = destination)
        {
            for (var at = 0; at < source.Length;)
            {
                // libzstd may be built to read the formats from before 1.0 too; see ZstdDecompressor.
                if (source[at] is not 0x28 and not (>= 0x50 and <= 0x5F))
                {
                    return false;
                }

                var size = LibZstd.ZSTD_findFrameCompressedSize(from + at, (nuint)(source.Length - at));
                if (LibZstd.IsError(size))
                {
                    return false;
                }

                var result = LibZstd.ZSTD_decompressDCtx(decoder, to + written, (nuint)(destination.Length - written), from + at, size);
                if (LibZstd.IsError(result))
                {
                    return false;
                }

                written += (int)result;
                at += (int)size;
            }
        }

        return true;
    }
}
