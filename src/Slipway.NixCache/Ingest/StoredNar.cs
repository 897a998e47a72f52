using System.Buffers;
using Slipway.Content;
using Slipway.Native;

namespace Slipway.NixCache;

/// <summary>Takes the bytes of a NAR, in order.</summary>
internal delegate void NarBytes(ReadOnlySpan<byte> bytes);

/// <summary>Reads a stored NAR file again, decompressed. It was verified when it came in, so it is trusted here.</summary>
internal static class StoredNar
{
    private const int BufferBytes = 256 << 10;

    public static async Task ReadAsync(IContentStore store, VerifiedNar nar, NarBytes consume, CancellationToken cancellationToken)
    {
        await using var reader = await store.OpenAsync(nar.FileHash, cancellationToken)
            ?? throw NarRejectedException.Because("The NAR of this path is no longer stored; upload it again.");
        using var decompressor = Decompressor.Create(nar.Compression, new DecompressionLimits(MaxWindowLog: 27, MaxMemoryBytes: 128 << 20));
        var input = ArrayPool<byte>.Shared.Rent(BufferBytes);
        var output = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            for (long offset = 0; ;)
            {
                var read = await reader.ReadAsync(input, offset, cancellationToken);
                if (read == 0)
                {
                    return;
                }

                offset += read;
                Decompress(decompressor, input.AsSpan(0, read), output, consume);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(input);
            ArrayPool<byte>.Shared.Return(output);
        }
    }

    private static void Decompress(Decompressor decompressor, ReadOnlySpan<byte> input, byte[] output, NarBytes consume)
    {
        while (true)
        {
            var step = decompressor.Decompress(input, output);
            consume(output.AsSpan(0, step.Written));
            input = input[step.Consumed..];
            if (input.IsEmpty && step.Written < output.Length)
            {
                return;
            }
        }
    }
}
