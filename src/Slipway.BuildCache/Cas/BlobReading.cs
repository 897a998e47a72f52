using System.Buffers;
using Slipway.Content;
using Slipway.Native;

namespace Slipway.BuildCache.Cas;

/// <summary>Reads whole blobs, uncompressed, into memory: for batches, trees and what is inlined.</summary>
internal static class BlobReading
{
    /// <summary>
    /// Fills <paramref name="destination"/>, which is exactly as long as the blob. False when the blob is gone or rotten: then it is
    /// a miss, and the store has set it aside. Completes at once when the blob is small and raw.
    /// </summary>
    /// <exception cref="ContentStoreException">The disk reports errors: not a miss.</exception>
    public static ValueTask<bool> ReadAsync(ContentSpace space, BlobInfo info, Memory<byte> destination, CancellationToken cancellationToken) =>
        !info.IsLarge && info.Codec == BlobCodec.Raw
            ? space.ReadAsync(info, destination, cancellationToken)
            : ReadSlowlyAsync(space, info, destination, cancellationToken);

    private static async ValueTask<bool> ReadSlowlyAsync(ContentSpace space, BlobInfo info, Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!info.IsLarge)
        {
            var stored = ArrayPool<byte>.Shared.Rent(info.StoredLength);
            try
            {
                return await space.ReadAsync(info, stored.AsMemory(0, info.StoredLength), cancellationToken)
                    && ZstdFrames.TryDecompress(stored.AsSpan(0, info.StoredLength), destination.Span, out var written)
                    && written == destination.Length;
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(stored);
            }
        }

        await using var source = await DecodedBlob.OpenAsync(space, info, cancellationToken);
        if (source is null)
        {
            return false;
        }

        while (!destination.IsEmpty)
        {
            var read = await source.ReadAsync(destination, cancellationToken);
            if (read == 0)
            {
                return false;
            }

            destination = destination[read..];
        }

        return true;
    }
}
