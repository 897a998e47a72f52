namespace Slipway.Native;

/// <summary>No compression: copies. Any length is a complete file.</summary>
internal sealed class StoredDecompressor : Decompressor
{
    public override bool AtEnd => true;

    public override CodecResult Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        var count = Math.Min(input.Length, output.Length);
        input[..count].CopyTo(output);
        return new CodecResult(count, count, FrameEnded: false);
    }

    private protected override void Dispose(bool disposing)
    {
    }
}
