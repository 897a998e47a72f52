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
/// resumed    piece ──▶ decoder ──▶ hash, file     a frame that broke can't be gone on with: the rest comes in frames of its own
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
    private readonly bool keepsUnpacked;
    private long arrived;
    private long size;
    private long known;
    private bool atFrameEnd;

    private BlobUpload(in BlobDigest digest, LargeUpload file, bool isCompressed, bool keepsUnpacked)
    {
        this.digest = digest;
        this.file = file;
        this.keepsUnpacked = keepsUnpacked;
        hash = BlobHash.Rent(digest.Key.Kind);
        decoder = isCompressed ? Decompressor.Create(CompressionFormat.Zstd, DecompressionLimits.Default) : null;
        unpacked = isCompressed ? ArrayPool<byte>.Shared.Rent(UnpackSize) : [];
    }

    /// <summary>Bytes of the blob that are here: where a broken upload can be resumed.</summary>
    public long Size => size;

    /// <summary>Begins an upload; with an <paramref name="offset"/> it goes on with what an earlier one of that name has left.</summary>
    /// <param name="offset">Where the client resumes, in bytes of the blob. What it then sends again is skipped.</param>
    /// <returns>Null when less than <paramref name="offset"/> bytes of it are here.</returns>
    public static async ValueTask<BlobUpload?> BeginAsync(
        ContentSpace space, BlobDigest digest, bool isCompressed, string? name, long offset, CancellationToken cancellationToken)
    {
        var resumes = offset > 0;
        if (resumes && (name is null || await ResumableAsync(space, digest, isCompressed, name, cancellationToken) < offset))
        {
            return null;
        }

        var keepsUnpacked = isCompressed && resumes;
        var file = space.BeginLarge(keepsUnpacked ? UnpackedName(name!) : name);
        var upload = new BlobUpload(digest, file, isCompressed, keepsUnpacked);
        try
        {
            if (resumes)
            {
                await file.ReadResumedAsync(
                    bytes =>
                    {
                        upload.hash.Append(bytes.Span);
                        return ValueTask.CompletedTask;
                    },
                    cancellationToken);
                upload.size = file.ResumedLength;
                upload.known = file.ResumedLength - offset;
                upload.arrived = isCompressed ? 0 : file.ResumedLength;
            }
            else if (file.ResumedLength > 0)
            {
                file.Restart();
            }

            return upload;
        }
        catch
        {
            await upload.DisposeAsync();
            throw;
        }
    }

    /// <summary>Bytes of the blob that an upload of this name has left, which the client need not send again.</summary>
    public static async ValueTask<long> ResumableAsync(ContentSpace space, BlobDigest digest, bool isCompressed, string name, CancellationToken cancellationToken)
    {
        if (isCompressed)
        {
            await UnpackLeftAsync(space, digest, name, cancellationToken);
            name = UnpackedName(name);
        }

        await using var file = space.BeginLarge(name);
        if (file.ResumedLength == 0)
        {
            await file.DiscardAsync();
        }

        return file.ResumedLength;
    }

    /// <summary>Turns what a broken upload has left of its frames into as many bytes of the blob as they hold.</summary>
    private static async ValueTask UnpackLeftAsync(ContentSpace space, BlobDigest digest, string name, CancellationToken cancellationToken)
    {
        await using var packed = space.BeginLarge(name);
        if (packed.ResumedLength > 0)
        {
            var target = space.BeginLarge(UnpackedName(name));
            await using var upload = new BlobUpload(digest, target, isCompressed: true, keepsUnpacked: true);
            if (target.ResumedLength > 0)
            {
                target.Restart();
            }

            await packed.ReadResumedAsync(async bytes => await upload.AppendAsync(bytes, cancellationToken), cancellationToken);
        }

        await packed.DiscardAsync();
    }

    private static string UnpackedName(string name) => name + " unpacked";

    /// <summary>Takes the next piece. False: it is too much, or no zstd; then nothing more is taken.</summary>
    public async ValueTask<bool> AppendAsync(ReadOnlyMemory<byte> piece, CancellationToken cancellationToken)
    {
        arrived += piece.Length;
        if (decoder is not null)
        {
            return arrived <= BlobWriting.LongestCompressed(digest.Size) && await AppendFramesAsync(piece, cancellationToken);
        }

        // What a resumed client sends again is here already.
        var skipped = (int)Math.Min(known, piece.Length);
        known -= skipped;
        arrived -= skipped;
        if (arrived > digest.Size)
        {
            return false;
        }

        piece = piece[skipped..];
        hash.Append(piece.Span);
        size = arrived;
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

        await file.CommitAsync(digest.Key, decoder is null || keepsUnpacked ? BlobCodec.Raw : BlobCodec.Zstd, digest.Size, Durability.Written, cancellationToken);
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

    private async ValueTask<bool> AppendFramesAsync(ReadOnlyMemory<byte> piece, CancellationToken cancellationToken)
    {
        var rest = piece;
        while (true)
        {
            // One byte of room beyond the declared size tells a bomb from a blob that just fits.
            var room = (int)Math.Min(UnpackSize, digest.Size - size + known + 1);
            if (!TryUnpack(rest.Span, room, out var result))
            {
                return false;
            }

            rest = rest[result.Consumed..];
            var skipped = (int)Math.Min(known, result.Written);
            known -= skipped;
            var added = unpacked.AsMemory(skipped, result.Written - skipped);
            size += added.Length;
            if (size > digest.Size)
            {
                return false;
            }

            hash.Append(added.Span);
            if (keepsUnpacked)
            {
                await file.WriteAsync(added, cancellationToken);
            }

            if (rest.IsEmpty && result.Written < room)
            {
                break;
            }
        }

        if (!keepsUnpacked)
        {
            await file.WriteAsync(piece, cancellationToken);
        }

        return true;
    }

    private bool TryUnpack(ReadOnlySpan<byte> piece, int room, out CodecResult result)
    {
        try
        {
            result = decoder!.Decompress(piece, unpacked.AsSpan(0, room));
            if (result.Consumed > 0 || result.Written > 0)
            {
                atFrameEnd = result.FrameEnded;
            }

            return true;
        }
        catch (Exception exception) when (exception is InvalidDataException or DecompressionLimitException)
        {
            result = default;
            return false;
        }
    }
}
