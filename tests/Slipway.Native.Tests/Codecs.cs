namespace Slipway.Native.Tests;

/// <summary>Small files made with the command line tools of each format, and loops that drive the codecs.</summary>
internal static class Codecs
{
    public const string Text = "Slipway carries many small paths.\n";

    public static byte[] Xz { get; } = Convert.FromBase64String(
        "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAhU2xpcHdheSBjYXJyaWVzIG1hbnkgc21hbGwgcGF0aHMuCgAAAEiIFgcAMxbCAAE6IrYqT9AftvN9AQAAAAAEWVo=");

    /// <summary>The same text, but the header asks for a dictionary of 256 MiB.</summary>
    public static byte[] XzWithHugeDictionary { get; } = Convert.FromBase64String(
        "/Td6WFoAAATm1rRGAgAhASAAAAAJiKV2AQAhU2xpcHdheSBjYXJyaWVzIG1hbnkgc21hbGwgcGF0aHMuCgAAAEiIFgcAMxbCAAE6IrYqT9AftvN9AQAAAAAEWVo=");

    public static byte[] Bzip2 { get; } = Convert.FromBase64String(
        "QlpoOTFBWSZTWXXeBs0AAANTgAAQQAEIACpnXKAgACImIaaZNHqFNMjExMRB2ES8k9B6AguVLIbZXvsLBj4u5IpwoSDrvA2a");

    /// <summary>3,000,000 zero bytes.</summary>
    public static byte[] Bzip2OfZeros { get; } = Convert.FromBase64String("QlpoOTFBWSZTWaZFgLIAFvpACMAAQAAACCAAMMwJqmmpAi2pIEXi7kinChIUyLAWQA==");

    public static byte[] Zstd(ReadOnlySpan<byte> content, int level = 3, int workers = 0)
    {
        using var compressor = new ZstdCompressor(level, workers);
        var result = new MemoryStream();
        var buffer = new byte[4096];
        while (true)
        {
            var step = compressor.Compress(content, buffer, last: true);
            result.Write(buffer, 0, step.Written);
            content = content[step.Consumed..];
            if (step.FrameEnded)
            {
                return result.ToArray();
            }
        }
    }

    /// <summary>Decodes all of it, giving <paramref name="inputStep"/> bytes at a time and taking <paramref name="outputStep"/>.</summary>
    public static byte[] Decode(Decompressor decompressor, ReadOnlySpan<byte> input, int inputStep = int.MaxValue, int outputStep = 65536)
    {
        var result = new MemoryStream();
        var buffer = new byte[outputStep];
        while (true)
        {
            var piece = input[..Math.Min(inputStep, input.Length)];
            var step = decompressor.Decompress(piece, buffer);
            result.Write(buffer, 0, step.Written);
            input = input[step.Consumed..];
            if (input.IsEmpty && step.Written < buffer.Length)
            {
                return result.ToArray();
            }
        }
    }
}
