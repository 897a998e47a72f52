namespace Slipway.Native;

/// <summary>zstd frames and skippable frames, one after another (RFC 8878).</summary>
internal sealed class ZstdDecompressor : Decompressor
{
    private readonly ZstdDecoderHandle decoder;
    private bool betweenFrames = true;
    private bool anyFrame;

    public ZstdDecompressor(DecompressionLimits limits)
    {
        decoder = LibZstd.ZSTD_createDCtx();
        if (decoder.IsInvalid)
        {
            throw new OutOfMemoryException("libzstd could not allocate a decoder.");
        }

        var result = LibZstd.ZSTD_DCtx_setParameter(decoder, LibZstd.MaxWindowLog, limits.MaxWindowLog);
        if (LibZstd.IsError(result))
        {
            decoder.Dispose();
            throw new ArgumentOutOfRangeException(nameof(limits), limits.MaxWindowLog, LibZstd.ErrorName(result));
        }
    }

    public override bool AtEnd => betweenFrames && anyFrame;

    public override unsafe CodecResult Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (betweenFrames)
        {
            if (input.IsEmpty)
            {
                return default;
            }

            // libzstd may be built to read the formats from before 1.0 too (magic bytes 0x22 to 0x27), whose decoders know no
            // window limit. The first byte tells a frame (0x28) and a skippable frame (0x50 to 0x5F) from everything else.
            if (input[0] is not 0x28 and not (>= 0x50 and <= 0x5F))
            {
                throw new InvalidDataException(anyFrame
                    ? "Garbage after the last zstd frame."
                    : "Not zstd: the data doesn't start with a zstd frame.");
            }
        }

        fixed (byte* source = input)
        fixed (byte* destination = output)
        {
            var from = new LibZstd.InBuffer { Source = source, Size = (nuint)input.Length };
            var to = new LibZstd.OutBuffer { Destination = destination, Size = (nuint)output.Length };
            var result = LibZstd.ZSTD_decompressStream(decoder, &to, &from);
            if (LibZstd.IsError(result))
            {
                throw Failure(result);
            }

            betweenFrames = result == 0;
            anyFrame |= betweenFrames;
            return new CodecResult((int)from.Position, (int)to.Position, betweenFrames);
        }
    }

    private protected override void Dispose(bool disposing) => decoder.Dispose();

    private static Exception Failure(nuint result) => LibZstd.ZSTD_getErrorCode(result) switch
    {
        LibZstd.WindowTooLarge => new DecompressionLimitException("The zstd frame needs a larger window than is allowed here."),
        LibZstd.MemoryAllocation => new DecompressionLimitException("There is not enough memory for the window of the zstd frame."),
        _ => new InvalidDataException($"Corrupt zstd data: {LibZstd.ErrorName(result)}."),
    };
}
