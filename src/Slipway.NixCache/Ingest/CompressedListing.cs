using Slipway.Native;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>A <c>.ls</c> document at rest: zstd, because a listing of 80,000 files is 8 MB of JSON and 1 MB compressed.</summary>
internal static class CompressedListing
{
    public static byte[] Of(NarListing listing)
    {
        using var compressor = new ZstdCompressor(level: 3);
        using var compressed = new MemoryStream();
        var buffer = new byte[16 << 10];
        foreach (var piece in listing.Pieces())
        {
            Compress(compressor, piece.Span, buffer, compressed, last: false);
        }

        Compress(compressor, [], buffer, compressed, last: true);
        return compressed.ToArray();
    }

    private static void Compress(ZstdCompressor compressor, ReadOnlySpan<byte> input, byte[] buffer, MemoryStream compressed, bool last)
    {
        CodecResult step;
        do
        {
            step = compressor.Compress(input, buffer, last);
            compressed.Write(buffer, 0, step.Written);
            input = input[step.Consumed..];
        }
        while (last ? !step.FrameEnded : !input.IsEmpty);
    }

    public static byte[] Read(ReadOnlySpan<byte> compressed)
    {
        using var decompressor = Decompressor.Create(CompressionFormat.Zstd, new DecompressionLimits(MaxWindowLog: 27, MaxMemoryBytes: 128 << 20));
        using var listing = new MemoryStream(compressed.Length * 8);
        Span<byte> buffer = new byte[64 << 10];
        while (true)
        {
            var step = decompressor.Decompress(compressed, buffer);
            listing.Write(buffer[..step.Written]);
            compressed = compressed[step.Consumed..];
            if (compressed.IsEmpty && step.Written < buffer.Length)
            {
                return listing.ToArray();
            }
        }
    }
}
