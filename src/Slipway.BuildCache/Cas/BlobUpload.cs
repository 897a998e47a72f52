using System.Buffers;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Native;

namespace Slipway.BuildCache.Cas;

/// <summary>
/// The upload of a blob of 1 MiB or more, piece by piece: hashed (and, when compressed, unpacked) as it arrives, so that nothing is
/// read twice, and visible only once it has proved to be what its digest says.
/// </summary>
/// <remarks>
/// <code>
/// identity   piece ──▶ hash, file
/// zstd       piece ──▶ file as it is
///                 └──▶ decoder ──▶ hash           stops at the declared size: a bomb costs its sender as much as us
/// </code>
/// With a name the bytes survive a broken stream and a restart of the server, until the upload is resumed or a day has passed.
/// </remarks>
internal sealed class BlobUpload : IAsyncDisposable
{
    /// <summary>What is unpacked at a time; the hash takes it from the processor's cache.</summary>
    private const int UnpackSize = 128 * 1024;

    private readonly BlobDigest digest;
    private readonly LargeUpload file;
    private readonly BlobHash hash;
    private readonly Decompressor? decoder;
    private readonly byte[] unpacked;
    private long arrived;
    private long size;
    private bool atFrameEnd;

    private BlobUpload(in BlobDigest digest, LargeUpload file, bool isCompressed)
    {
        this.digest = digest;
        this.file = file;
        hash = BlobHash.Rent(digest.Key.Kind);
        decoder = isCompressed ? Decompressor.Create(CompressionFormat.Zstd, DecompressionLimits.Default) : null;
        unpacked = isCompressed ? ArrayPool<byte>.Shared.Rent(UnpackSize) : [];
    }

    /// <summary>Bytes of the blob that are here: where a broken upload can be resumed.</summary>
    public long Size => size;

    /// <summary>
    /// Begins an upload. With a name it takes over what an earlier upload of that name left, up to <paramref name="offset"/> 0,
    /// which means from the start.
    /// </summary>
    /// <param name="offset">Where the client resumes; must not be beyond <see cref="Size"/> of the earlier upload.</param>
    /// <returns>Null when there is nothing to resume at <paramref name="offset"/>.</returns>
    public static async ValueTask<BlobUpload?> BeginAsync(
        ContentSpace space, BlobDigest digest, bool isCompressed, string? name, long offset, CancellationToken cancellationToken)
    {
        var file = space.BeginLarge(name);
        var upload = new BlobUpload(digest, file, isCompressed);
        try
        {
            if (offset == 0)
            {
                if (file.ResumedLength > 0)
                {
                    file.Restart();
                }

                return upload;
            }

            if (offset <= file.ResumedLength && !isCompressed)
            {
                await file.ReadResumedAsync(bytes => upload.hash.Append(bytes.Span), cancellationToken);
                upload.size = upload.arrived = file.ResumedLength;
                return upload;
            }
        }
        catch
        {
            await upload.DisposeAsync();
            throw;
        }

        await upload.DisposeAsync();
        return null;
    }

    /// <summary>Bytes that an upload of this name has left, of which the client need not send again.</summary>
    public static async ValueTask<long> ResumableAsync(ContentSpace space, string name)
    {
        var file = space.BeginLarge(name);
        var length = file.ResumedLength;
        if (length == 0)
        {
            await file.DiscardAsync();
        }
        else
        {
            await file.DisposeAsync();
        }

        return length;
    }

    /// <summary>Takes the next piece. False: it is too much, or no zstd; then nothing more is taken.</summary>
    public async ValueTask<bool> AppendAsync(ReadOnlyMemory<byte> piece, CancellationToken cancellationToken)
    {
        arrived += piece.Length;
        if (decoder is null)
        {
            if (arrived > digest.Size)
            {
                return false;
            }

            hash.Append(piece.Span);
            size = arrived;
        }
        else if (arrived > BlobWriting.LongestCompressed(digest.Size) || !Unpack(piece.Span))
        {
            return false;
        }

        await file.WriteAsync(piece, cancellationToken);
        return true;
    }

    /// <summary>Makes the blob visible if it is what its digest says.</summary>
    /// <returns>Null, or what is wrong with the data, for the sender. Then what arrived is thrown away.</returns>
    public async ValueTask<string?> FinishAsync(CancellationToken cancellationToken)
    {
        if (size != digest.Size)
        {
            return await RefuseAsync(BlobWriting.WrongSize(digest, size));
        }

        if (decoder is not null && !atFrameEnd)
        {
            return await RefuseAsync(BlobWriting.BadFrames(digest));
        }

        var actual = hash.Finish();
        if (actual != digest.Key.Hash)
        {
            return await RefuseAsync(BlobWriting.WrongHash(digest, actual));
        }

        await file.CommitAsync(digest.Key, decoder is null ? BlobCodec.Raw : BlobCodec.Zstd, digest.Size, Durability.Written, cancellationToken);
        return null;
    }

    /// <summary>Throws away what arrived, also for a later upload of the same name.</summary>
    public ValueTask DiscardAsync() => file.DiscardAsync();

    public async ValueTask DisposeAsync()
    {
        hash.Dispose();
        decoder?.Dispose();
        if (unpacked.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(unpacked);
        }

        await file.DisposeAsync();
    }

    private async ValueTask<string> RefuseAsync(string why)
    {
        await file.DiscardAsync();
        return why;
    }

    private bool Unpack(ReadOnlySpan<byte> piece)
    {
        try
        {
            while (true)
            {
                // One byte of room beyond the declared size tells a bomb from a blob that just fits.
                var room = (int)Math.Min(UnpackSize, digest.Size - size + 1);
                var result = decoder!.Decompress(piece, unpacked.AsSpan(0, room));
                piece = piece[result.Consumed..];
                if (result.Consumed > 0 || result.Written > 0)
                {
                    atFrameEnd = result.FrameEnded;
                }

                hash.Append(unpacked.AsSpan(0, result.Written));
                size += result.Written;
                if (size > digest.Size)
                {
                    return false;
                }

                if (piece.IsEmpty && result.Written < room)
                {
                    return true;
                }
            }
        }
        catch (Exception exception) when (exception is InvalidDataException or DecompressionLimitException)
        {
            return false;
        }
    }
}
