namespace Slipway.Native;

/// <summary>A streaming zstd encoder: spans in, spans out. Not thread-safe. After a frame has ended the next call starts a new one.</summary>
public sealed class ZstdCompressor : IDisposable
{
    private readonly ZstdEncoderHandle encoder;

    /// <param name="level">1 (fast) to 19; up to 22 with much memory.</param>
    /// <param name="workers">Threads beside the caller's; 0 compresses in the caller's thread, which makes the same bytes every time.</param>
    public ZstdCompressor(int level, int workers = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(level, LibZstd.ZSTD_minCLevel());
        ArgumentOutOfRangeException.ThrowIfGreaterThan(level, LibZstd.ZSTD_maxCLevel());
        ArgumentOutOfRangeException.ThrowIfNegative(workers);
        encoder = LibZstd.ZSTD_createCCtx();
        if (encoder.IsInvalid)
        {
            throw new OutOfMemoryException("libzstd could not allocate an encoder.");
        }

        LibZstd.ZSTD_CCtx_setParameter(encoder, LibZstd.CompressionLevel, level);

        // Four bytes a frame, so that a decoder notices a flipped bit without knowing any hash.
        LibZstd.ZSTD_CCtx_setParameter(encoder, LibZstd.ChecksumFlag, 1);
        if (workers > 0)
        {
            // A libzstd built without threads refuses this; then the caller's thread does all of it, only slower.
            LibZstd.ZSTD_CCtx_setParameter(encoder, LibZstd.Workers, workers);
        }
    }

    /// <summary>
    /// Encodes as much of <paramref name="input"/> as it can. With <paramref name="last"/> the frame is finished after the input:
    /// call again with what was not consumed until <see cref="CodecResult.FrameEnded"/>.
    /// </summary>
    public unsafe CodecResult Compress(ReadOnlySpan<byte> input, Span<byte> output, bool last)
    {
        fixed (byte* source = input)
        fixed (byte* destination = output)
        {
            var from = new LibZstd.InBuffer { Source = source, Size = (nuint)input.Length };
            var to = new LibZstd.OutBuffer { Destination = destination, Size = (nuint)output.Length };
            var result = LibZstd.ZSTD_compressStream2(encoder, &to, &from, last ? LibZstd.End : LibZstd.Continue);
            if (LibZstd.IsError(result))
            {
                throw new InvalidOperationException($"zstd compression failed: {LibZstd.ErrorName(result)}.");
            }

            return new CodecResult((int)from.Position, (int)to.Position, last && result == 0);
        }
    }

    public void Dispose() => encoder.Dispose();
}
