using System.Collections.Concurrent;
using Slipway.Content;
using Slipway.Content.Hashing;
using Slipway.Native;

namespace Slipway.BuildCache.Cas;

/// <summary>Hashes bytes with the function that a kind of blob is named by; either all at once or piece by piece.</summary>
internal sealed class BlobHash : IDisposable
{
    /// <summary>Hashers kept for the next upload: as many as stream at a time on a busy server.</summary>
    private const int MostSpare = 64;

    private static readonly ConcurrentBag<BlobHash> SpareSha256 = [];
    private static readonly ConcurrentBag<BlobHash> SpareBlake3 = [];

    private readonly Sha256? sha256;
    private readonly Blake3? blake3;

    private BlobHash(BlobKind kind)
    {
        if (kind == BlobKind.Blake3)
        {
            blake3 = new Blake3();
        }
        else
        {
            sha256 = new Sha256();
        }
    }

    /// <summary>The hash of bytes that are all here.</summary>
    public static Digest Of(BlobKind kind, ReadOnlySpan<byte> bytes)
    {
        if (kind != BlobKind.Blake3)
        {
            return Digest.Of(bytes);
        }

        Span<byte> hash = stackalloc byte[Digest.Size];
        Blake3.HashData(bytes, hash);
        return Digest.FromBytes(hash);
    }

    /// <summary>A hasher; disposing it gives it back.</summary>
    public static BlobHash Rent(BlobKind kind) => (kind == BlobKind.Blake3 ? SpareBlake3 : SpareSha256).TryTake(out var spare) ? spare : new BlobHash(kind);

    public void Append(ReadOnlySpan<byte> bytes)
    {
        sha256?.Append(bytes);
        blake3?.Append(bytes);
    }

    /// <summary>The hash of all that was appended; then it starts over.</summary>
    public Digest Finish()
    {
        Span<byte> hash = stackalloc byte[Digest.Size];
        sha256?.GetHashAndReset(hash);
        blake3?.GetHashAndReset(hash);
        return Digest.FromBytes(hash);
    }

    public void Dispose()
    {
        var spare = blake3 is null ? SpareSha256 : SpareBlake3;
        if (spare.Count < MostSpare)
        {
            Finish();
            spare.Add(this);
        }
    }
}
