using System.Buffers;
using Slipway.Content;
using Slipway.Native;

namespace Slipway.BuildCache.Cas;

/// <summary>The bytes of one stored blob, uncompressed, from front to back: for what is too large to be in memory.</summary>
internal sealed class DecodedBlob : IAsyncDisposable
{
    /// <summary>Stored bytes read at a time.</summary>
    private const int BufferSize = 128 * 1024;

    private readonly IContentReader reader;
    private readonly Decompressor? decoder;
    private readonly byte[] buffer;
    private long position;
    private int start;
    private int end;

    private DecodedBlob(IContentReader reader, bool isCompressed)
    {
        this.reader = reader;
        decoder = isCompressed ? Decompressor.Create(CompressionFormat.Zstd, DecompressionLimits.Default) : null;
        buffer = isCompressed ? ArrayPool<byte>.Shared.Rent(BufferSize) : [];
    }

    /// <summary>Null when the blob is gone.</summary>
    public static async ValueTask<DecodedBlob?> OpenAsync(ContentSpace space, BlobInfo info, CancellationToken cancellationToken) =>
        await space.OpenAsync(info, cancellationToken) is { } reader ? new DecodedBlob(reader, info.Codec == BlobCodec.Zstd) : null;

    /// <summary>Reads some bytes; 0 only at the end.</summary>
    /// <exception cref="InvalidDataException">What is stored is damaged.</exception>
    public async ValueTask<int> ReadAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (decoder is null)
        {
            var read = await reader.ReadAsync(destination, position, cancellationToken);
            position += read;
            return read;
        }

        while (true)
        {
            var result = decoder.Decompress(buffer.AsSpan(start, end - start), destination.Span);
            start += result.Consumed;
            if (result.Written > 0)
            {
                return result.Written;
            }

            if (result.Consumed > 0)
            {
                continue;
            }

            start = 0;
            end = await reader.ReadAsync(buffer.AsMemory(0, BufferSize), position, cancellationToken);
            position += end;
            if (end == 0)
            {
                return 0;
            }
        }
    }

    /// <summary>Goes <paramref name="bytes"/> ahead.</summary>
    public async ValueTask SkipAsync(long bytes, CancellationToken cancellationToken)
    {
        if (decoder is null)
        {
            position += bytes;
            return;
        }

        var skipped = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            while (bytes > 0)
            {
                var read = await ReadAsync(skipped.AsMemory(0, (int)Math.Min(bytes, BufferSize)), cancellationToken);
                if (read == 0)
                {
                    throw new InvalidDataException("A stored blob is shorter than it says.");
                }

                bytes -= read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(skipped);
        }
    }

    public async ValueTask DisposeAsync()
    {
        decoder?.Dispose();
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        await reader.DisposeAsync();
    }
}
