using System.Buffers;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Native;

namespace Slipway.BuildCache.Cas;

/// <summary>Verifies and stores blobs that are all in memory.</summary>
internal static class BlobWriting
{
    /// <summary>The most that a blob's compressed form may take: what zstd adds to random bytes, and room for frame headers of odd encoders.</summary>
    public static long LongestCompressed(long size) => size + size / 64 + 64 * 1024;

    /// <summary>
    /// Stores <paramref name="data"/> under <paramref name="digest"/> if it is what the digest says. Often completes at once.
    /// </summary>
    /// <param name="digest">Of at most <see cref="ContentSpace.MaxSmall"/> bytes; see <see cref="BlobUpload"/> for larger ones.</param>
    /// <param name="data">Must not change before the call has completed.</param>
    /// <param name="isCompressed">The data are zstd frames. They are kept as they are, unless they save too little.</param>
    /// <returns>Null, or what is wrong with the data, for the sender.</returns>
    /// <exception cref="ContentStoreException">There is no room, or the disk reports errors.</exception>
    public static ValueTask<string?> PutAsync(
        ContentSpace space, in BlobDigest digest, ReadOnlyMemory<byte> data, bool isCompressed, CancellationToken cancellationToken)
    {
        if (isCompressed)
        {
            return PutCompressedAsync(space, digest, data, cancellationToken);
        }

        if (data.Length != digest.Size)
        {
            return ValueTask.FromResult<string?>(WrongSize(digest, data.Length));
        }

        return digest.IsEmptyBlob ? default : PutHashedAsync(space, digest, data, BlobHash.Of(digest.Key.Kind, data.Span), cancellationToken);
    }

    /// <summary>The same for data of the right size, not compressed, whose hash is known.</summary>
    public static ValueTask<string?> PutHashedAsync(
        ContentSpace space, in BlobDigest digest, ReadOnlyMemory<byte> data, in Digest hash, CancellationToken cancellationToken)
    {
        if (hash != digest.Key.Hash)
        {
            return ValueTask.FromResult<string?>(WrongHash(digest, hash));
        }

        var put = space.PutAsync(digest.Key, data, BlobCodec.Raw, data.Length, Durability.Written, cancellationToken);
        return put.IsCompletedSuccessfully ? default : AwaitedAsync(put);
    }

    public static string WrongSize(in BlobDigest digest, long length) =>
        $"The data have {length} bytes where the digest says {digest.Size}. Nothing was stored.";

    public static string WrongHash(in BlobDigest digest, in Digest hash) =>
        $"The data's hash is {hash} where the digest says {digest.Key.Hash}. Nothing was stored.";

    public static string BadFrames(in BlobDigest digest) =>
        $"The data are not whole zstd frames of {digest.Size} bytes: they are damaged, cut short, or unpack to more. Nothing was stored.";

    private static async ValueTask<string?> AwaitedAsync(ValueTask put)
    {
        await put;
        return null;
    }

    private static async ValueTask<string?> PutCompressedAsync(
        ContentSpace space, BlobDigest digest, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if (data.Length > LongestCompressed(digest.Size))
        {
            return BadFrames(digest);
        }

        var size = (int)digest.Size;
        var unpacked = ArrayPool<byte>.Shared.Rent(Math.Max(1, size));
        try
        {
            if (!ZstdFrames.TryDecompress(data.Span, unpacked.AsSpan(0, size), out var written))
            {
                return BadFrames(digest);
            }

            if (written != size)
            {
                return WrongSize(digest, written);
            }

            if (digest.IsEmptyBlob)
            {
                return null;
            }

            var hash = BlobHash.Of(digest.Key.Kind, unpacked.AsSpan(0, size));
            if (hash != digest.Key.Hash)
            {
                return WrongHash(digest, hash);
            }

            // A frame that saves less than an eighth costs more in unpacking than it saves on the disk: clients compress six bytes into twenty.
            await (data.Length < size - size / 8
                ? space.PutAsync(digest.Key, data, BlobCodec.Zstd, size, Durability.Written, cancellationToken)
                : space.PutAsync(digest.Key, unpacked.AsMemory(0, size), BlobCodec.Raw, size, Durability.Written, cancellationToken));
            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(unpacked);
        }
    }
}
