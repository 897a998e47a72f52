using System.Buffers;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.Cas;

/// <summary>
/// <c>SplitBlob</c> and <c>SpliceBlob</c>: large blobs as lists of chunks, so that a client moves only the chunks that changed. Chunks
/// are blobs like all others; a blob and its chunks are both kept, each for as long as it is used.
/// </summary>
internal sealed class ChunkedBlobs(ReapiContext context)
{
    /// <summary>FAST_CDC_2020.</summary>
    private const int FastCdc2020 = 1;

    /// <summary>Chunks of one blob: 128 GiB of average ones.</summary>
    private const int MostChunks = 256 * 1024;

    public async ValueTask SplitAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var request = Request.Parse(message.Memory, chunksField: 0, functionField: 3);
        // Chunks are written, but only bytes that are here already: whoever may read a blob may have it split.
        var access = await context.AccessAsync(call, request.Instance.Span, BuildCacheRights.Read);
        using var cut = ReapiContext.CutWhenEnded(call, access);
        var space = access.Space;
        var chunks = await ChunksOfAsync(space, request.Blob, call.Aborted);
        if (chunks is null)
        {
            call.Fail(GrpcStatus.NotFound, $"There is no blob {request.Blob} here.");
            Record(call, access, RequestKind.Split, request.Blob, MissReason.Absent, 0, start);
            return;
        }

        Respond(call, chunks);
        Record(call, access, RequestKind.Split, request.Blob, MissReason.None, chunks.Count, start);
    }

    public async ValueTask SpliceAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var request = Request.Parse(message.Memory, chunksField: 3, functionField: 4);
        var access = await context.AccessAsync(call, request.Instance.Span, BuildCacheRights.Write);
        if (request.Blob.Size > access.Cache.MaxBlobBytes)
        {
            throw new GrpcException(
                GrpcStatus.InvalidArgument, $"The blob has {request.Blob.Size} bytes; build cache {access.Cache.FullName} takes at most {access.Cache.MaxBlobBytes}.");
        }

        using var cut = ReapiContext.CutWhenEnded(call, access);
        var space = access.Space;
        if (!request.Blob.IsEmptyBlob && !space.Touch(request.Blob.Key, request.Blob.Size) && !await SpliceAsync(call, space, request))
        {
            Record(call, access, RequestKind.Splice, request.Blob, MissReason.Incomplete, request.Chunks.Count, start);
            return;
        }

        var response = new byte[ProtoWriter.BytesFieldLength(request.Blob.EncodedLength)];
        var writer = new ProtoWriter(response);
        request.Blob.WriteField(ref writer, 1);
        call.WriteMessage(response);
        Record(call, access, RequestKind.Splice, request.Blob, MissReason.None, request.Chunks.Count, start);
    }

    private static async ValueTask<bool> SpliceAsync(GrpcCall call, ContentSpace space, Request request)
    {
        // Before a byte is copied: all there, and the right sum.
        long total = 0;
        foreach (var chunk in request.Chunks)
        {
            total += chunk.Size;
            if (!chunk.IsEmptyBlob && !space.Touch(chunk.Key, chunk.Size))
            {
                call.Fail(GrpcStatus.NotFound, $"The chunk {chunk} is not here. Upload all chunks before the splice.");
                return false;
            }
        }

        if (total != request.Blob.Size)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, $"The chunks have {total} bytes together where the digest says {request.Blob.Size}.");
        }

        var cancellationToken = call.Aborted;
        if (total <= ContentSpace.MaxSmall)
        {
            var whole = new byte[total];
            var at = 0;
            foreach (var chunk in request.Chunks)
            {
                if (!await CopyAsync(space, chunk, piece =>
                {
                    piece.CopyTo(whole.AsMemory(at));
                    at += piece.Length;
                    return ValueTask.FromResult(true);
                }, cancellationToken))
                {
                    throw Vanished(chunk);
                }
            }

            Refuse(await BlobWriting.PutAsync(space, request.Blob, whole, isCompressed: false, cancellationToken));
            return true;
        }

        await using var upload = await BlobUpload.BeginAsync(space, request.Blob, isCompressed: false, name: null, offset: 0, cancellationToken);
        foreach (var chunk in request.Chunks)
        {
            if (!await CopyAsync(space, chunk, piece => upload!.AppendAsync(piece, cancellationToken), cancellationToken))
            {
                throw Vanished(chunk);
            }
        }

        Refuse(await upload!.FinishAsync(cancellationToken));
        return true;
    }

    private static void Refuse(string? fault)
    {
        if (fault is not null)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, fault);
        }
    }

    private static GrpcException Vanished(in BlobDigest chunk) =>
        new(GrpcStatus.Unavailable, $"The chunk {chunk} vanished while it was read. Try again.");

    private static async ValueTask<bool> CopyAsync(
        ContentSpace space, BlobDigest blob, Func<ReadOnlyMemory<byte>, ValueTask<bool>> take, CancellationToken cancellationToken)
    {
        if (blob.Size == 0)
        {
            return true;
        }

        if (!space.TryFind(blob.Key, out var info))
        {
            return false;
        }

        await using var source = await DecodedBlob.OpenAsync(space, info, cancellationToken);
        if (source is null)
        {
            return false;
        }

        var buffer = ArrayPool<byte>.Shared.Rent(RawZstdFrame.BlockSize);
        try
        {
            for (var left = blob.Size; left > 0;)
            {
                var read = await source.ReadAsync(buffer.AsMemory(0, (int)Math.Min(left, RawZstdFrame.BlockSize)), cancellationToken);
                if (read == 0 || !await take(buffer.AsMemory(0, read)))
                {
                    return false;
                }

                left -= read;
            }

            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The chunks of a blob, all of them in the store when this returns; null when the blob isn't.</summary>
    private static async ValueTask<IReadOnlyList<BlobDigest>?> ChunksOfAsync(ContentSpace space, BlobDigest blob, CancellationToken cancellationToken)
    {
        if (blob.Size == 0)
        {
            return blob.IsEmptyBlob ? [] : null;
        }

        if (!space.TryFind(blob.Key, out var info) || !space.Touch(blob.Key, blob.Size))
        {
            return null;
        }

        // What the specification says not to chunk is its own only chunk.
        if (blob.Size <= FastCdc.AverageSize / 4)
        {
            return [blob];
        }

        await using var source = await DecodedBlob.OpenAsync(space, info, cancellationToken);
        if (source is null)
        {
            return null;
        }

        List<BlobDigest> chunks = [];
        var window = ArrayPool<byte>.Shared.Rent(FastCdc.MaximumSize);
        try
        {
            var filled = 0;
            while (true)
            {
                // The function decides within the largest chunk, so that much has to be here, unless the blob ends.
                while (filled < FastCdc.MaximumSize && await source.ReadAsync(window.AsMemory(filled, FastCdc.MaximumSize - filled), cancellationToken) is var read and > 0)
                {
                    filled += read;
                }

                if (filled == 0)
                {
                    return chunks;
                }

                var length = FastCdc.Cut(window.AsSpan(0, filled));
                chunks.Add(await StoreChunkAsync(space, blob.Key.Kind, window.AsMemory(0, length), cancellationToken));
                window.AsSpan(length, filled - length).CopyTo(window);
                filled -= length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(window);
        }
    }

    private static async ValueTask<BlobDigest> StoreChunkAsync(ContentSpace space, BlobKind kind, ReadOnlyMemory<byte> chunk, CancellationToken cancellationToken)
    {
        var key = new BlobKey(kind, BlobHash.Of(kind, chunk.Span));
        if (!space.Touch(key, chunk.Length))
        {
            if (chunk.Length <= ContentSpace.MaxSmall)
            {
                await space.PutAsync(key, chunk, BlobCodec.Raw, chunk.Length, Durability.Written, cancellationToken);
            }
            else
            {
                await using var large = space.BeginLarge(resumeName: null);
                await large.WriteAsync(chunk, cancellationToken);
                await large.CommitAsync(key, BlobCodec.Raw, chunk.Length, Durability.Written, cancellationToken);
            }
        }

        return new BlobDigest(key, chunk.Length);
    }

    // SplitBlobResponse {1 chunk_digests, 2 chunking_function}.
    private static void Respond(GrpcCall call, IReadOnlyList<BlobDigest> chunks)
    {
        var length = chunks.Sum(chunk => ProtoWriter.BytesFieldLength(chunk.EncodedLength)) + ProtoWriter.VarintFieldLength(FastCdc2020);
        var response = new byte[length];
        var writer = new ProtoWriter(response);
        foreach (var chunk in chunks)
        {
            chunk.WriteField(ref writer, 1);
        }

        writer.VarintField(2, FastCdc2020);
        call.WriteMessage(response);
    }

    private void Record(GrpcCall call, BuildCacheAccess access, RequestKind kind, in BlobDigest blob, MissReason reason, int chunks, long start) => context.Record(new RequestRecord
    {
        Access = access,
        Kind = kind,
        Reason = reason,
        Subject = blob,
        Blobs = chunks,
        Missing = reason == MissReason.None ? 0 : 1,
        Metadata = RequestMetadata.Header(call.Http.Request.Headers),
        Duration = context.Since(start),
    });

    /// <summary>
    /// SplitBlobRequest {1 instance_name, 2 blob_digest, 3 digest_function}, SpliceBlobRequest {1 instance_name, 2 blob_digest,
    /// 3 chunk_digests, 4 digest_function}. The chunking function asked for is only a wish, and there is one.
    /// </summary>
    private readonly record struct Request(ReadOnlyMemory<byte> Instance, BlobDigest Blob, IReadOnlyList<BlobDigest> Chunks)
    {
        public static Request Parse(ReadOnlyMemory<byte> message, int chunksField, int functionField)
        {
            ReadOnlyMemory<byte> instance = default;
            ReadOnlySpan<byte> blob = default;
            List<ReadOnlyMemory<byte>> chunks = [];
            var function = 0;
            var reader = new ProtoReader(message.Span);
            while (reader.Next(out var field))
            {
                if (field == 1)
                {
                    instance = reader.Slice(message);
                }
                else if (field == 2)
                {
                    blob = reader.Bytes();
                }
                else if (field == chunksField)
                {
                    chunks.Add(reader.Slice(message));
                }
                else if (field == functionField)
                {
                    function = reader.Int32();
                }
                else
                {
                    reader.Skip();
                }
            }

            if (chunks.Count > MostChunks)
            {
                throw new WireFormatException($"The blob is spliced of {chunks.Count} chunks; at most {MostChunks} are taken.");
            }

            var kind = DigestFunction.Kind(function);
            return new Request(instance, BlobDigest.Read(blob, kind), chunks.ConvertAll(bytes => BlobDigest.Read(bytes.Span, kind)));
        }
    }
}
