using System.Buffers;
using System.Text;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;
using Slipway.Native;

namespace Slipway.BuildCache.Cas;

/// <summary><c>BatchUpdateBlobs</c> and <c>BatchReadBlobs</c>: many small blobs in one message. Each has its own status.</summary>
internal sealed class BatchBlobs(ReapiContext context)
{
    /// <summary>Room for a response without its data: digest 76, data header 6, compressor 2, status 2, and the header of it all.</summary>
    private const int ResponseOverhead = 96;

    /// <summary>Longest text of a failed item.</summary>
    private const int LongestFault = 400;

    /// <summary>What fits into a message of 4 MiB is some 55,000 digests.</summary>
    private const int MostItems = 100_000;

    public async ValueTask UpdateAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var (instance, items, bytes) = Updates(message.Memory);
        var access = await context.AccessAsync(call, instance.Span, BuildCacheRights.None);
        if (!access.MayWrite)
        {
            if (!ReapiContext.IsHumoured(RequestMetadata.Of(call.Http)))
            {
                await context.AccessAsync(call, instance.Span, BuildCacheRights.Write);
            }

            Respond(call, items, new Outcome[items.Count]);
            return;
        }

        var space = access.Space;
        var outcomes = new Outcome[items.Count];
        var puts = new ValueTask<string?>[items.Count];
        var hashes = HashTogether(items);
        // All at once: what waits is then written together.
        for (var at = 0; at < puts.Length; at++)
        {
            puts[at] = Put(space, access, items[at], hashes[at]);
        }

        for (var at = 0; at < puts.Length; at++)
        {
            try
            {
                var fault = await puts[at];
                outcomes[at] = fault is null ? default : new Outcome(GrpcStatus.InvalidArgument, fault);
            }
            catch (Exception failure) when (ReapiFailure.Translate(failure) is { } known)
            {
                outcomes[at] = new Outcome(known.Status, known.Message);
            }
        }

        Respond(call, items, outcomes);
        Record(call, access, RequestKind.BatchUpdate, items.Count, outcomes.Count(outcome => outcome.Status != GrpcStatus.Ok), bytes, start);
    }

    public async ValueTask ReadAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var (instance, digests, takesZstd) = Reads(message.Memory);
        var access = await context.AccessAsync(call, instance.Span, BuildCacheRights.Read);
        var total = digests.Sum(digest => digest.Size);
        if (total > ReapiContext.LargestBatchBytes)
        {
            throw new GrpcException(
                GrpcStatus.InvalidArgument,
                $"The blobs have {total} bytes together; a batch takes {ReapiContext.AdvertisedBatchBytes}. Read fewer at a time, or use ByteStream.Read.");
        }

        var space = access.Space;
        var buffer = ArrayPool<byte>.Shared.Rent((int)total + digests.Count * (ResponseOverhead + LongestFault / 4) + LongestFault);
        try
        {
            int length = 0, missing = 0;
            foreach (var digest in digests)
            {
                if (buffer.Length - length < digest.Size + ResponseOverhead + LongestFault)
                {
                    var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2 + (int)digest.Size);
                    buffer.AsSpan(0, length).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }

                var (written, isThere) = await ReadOneAsync(space, digest, takesZstd, buffer.AsMemory(length));
                length += written;
                missing += isThere ? 0 : 1;
            }

            call.WriteMessage(buffer.AsSpan(0, length));
            Record(call, access, RequestKind.BatchRead, digests.Count, missing, length, start);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    // Side by side small blobs are hashed in a third of the time. Null: compressed, of another function, large or of the wrong size.
    private static Digest?[] HashTogether(List<Update> items)
    {
        var hashes = new Digest?[items.Count];
        var which = new List<int>(items.Count);
        for (var at = 0; at < items.Count; at++)
        {
            var item = items[at];
            if (item.Compressor == Compressor.Identity && item.Digest.Key.Kind == BlobKind.Sha256
                && item.Data.Length is > 0 and <= ContentSpace.MaxSmall && item.Data.Length == item.Digest.Size)
            {
                which.Add(at);
            }
        }

        var together = new byte[which.Count * Sha256.HashSize];
        Sha256.HashMany(which.Select(at => items[at].Data).ToArray(), together);
        for (var at = 0; at < which.Count; at++)
        {
            hashes[which[at]] = Digest.FromBytes(together.AsSpan(at * Sha256.HashSize, Sha256.HashSize));
        }

        return hashes;
    }

    private static ValueTask<string?> Put(ContentSpace space, BuildCacheAccess access, in Update item, in Digest? hash)
    {
        if (item.Digest.Size > access.Cache.MaxBlobBytes)
        {
            return ValueTask.FromResult<string?>($"The blob has {item.Digest.Size} bytes; build cache {access.Cache.FullName} takes at most {access.Cache.MaxBlobBytes}.");
        }

        if (item.Compressor is not Compressor.Identity and not Compressor.Zstd)
        {
            return ValueTask.FromResult<string?>($"Compressor {item.Compressor} is not served here; use IDENTITY (0) or ZSTD (1).");
        }

        if (hash is { } known)
        {
            return BlobWriting.PutHashedAsync(space, item.Digest, item.Data, known, CancellationToken.None);
        }

        var isCompressed = item.Compressor == Compressor.Zstd;
        if (item.Digest.Size <= ContentSpace.MaxSmall)
        {
            return BlobWriting.PutAsync(space, item.Digest, item.Data, isCompressed, CancellationToken.None);
        }

        return item.Data.Length > item.Digest.Size + item.Digest.Size / 64 + 64 * 1024
            ? ValueTask.FromResult<string?>(BlobWriting.WrongSize(item.Digest, item.Data.Length))
            : PutLargeAsync(space, item, isCompressed);
    }

    private static async ValueTask<string?> PutLargeAsync(ContentSpace space, Update item, bool isCompressed)
    {
        if (space.Touch(item.Digest.Key, item.Digest.Size))
        {
            return null;
        }

        await using var upload = await BlobUpload.BeginAsync(space, item.Digest, isCompressed, name: null, offset: 0, CancellationToken.None);
        return await upload!.AppendAsync(item.Data, CancellationToken.None)
            ? await upload.FinishAsync(CancellationToken.None)
            : isCompressed ? BlobWriting.BadFrames(item.Digest) : BlobWriting.WrongSize(item.Digest, item.Data.Length);
    }

    /// <summary>Writes one response {1 digest, 2 data, 3 status, 4 compressor} as field 1.</summary>
    private static async ValueTask<(int Written, bool IsThere)> ReadOneAsync(ContentSpace space, BlobDigest digest, bool takesZstd, Memory<byte> to)
    {
        if (digest.IsEmptyBlob)
        {
            return (WriteHead(to.Span, digest, 0, zstd: false), true);
        }

        if (!space.TryFind(digest.Key, out var info) || info.Length != digest.Size || !space.Touch(digest.Key, digest.Size))
        {
            return (WriteFault(to.Span, digest, GrpcStatus.NotFound, "There is no such blob here."), false);
        }

        try
        {
            var asStored = takesZstd && !info.IsLarge && info.Codec == BlobCodec.Zstd;
            var size = asStored ? info.StoredLength : (int)info.Length;
            var head = WriteHead(to.Span, digest, size, asStored);
            var data = to.Slice(head, size);
            var isRead = await (asStored
                ? space.ReadAsync(info, data, CancellationToken.None)
                : BlobReading.ReadAsync(space, info, data, CancellationToken.None));
            return isRead
                ? (head + size, true)
                : (WriteFault(to.Span, digest, GrpcStatus.NotFound, "The blob was damaged and is set aside. Upload it again."), false);
        }
        catch (Exception failure) when (ReapiFailure.Translate(failure) is { } known)
        {
            return (WriteFault(to.Span, digest, known.Status, known.Message), false);
        }
    }

    // The data come last, so that they can be read into their place. Protobuf takes fields in any order.
    private static int WriteHead(Span<byte> to, in BlobDigest digest, int size, bool zstd)
    {
        var body = ProtoWriter.BytesFieldLength(digest.EncodedLength) + ProtoWriter.VarintFieldLength(zstd ? Compressor.Zstd : Compressor.Identity)
            + (size == 0 ? 0 : ProtoWriter.BytesFieldLength(size));
        var writer = new ProtoWriter(to);
        writer.BytesHeader(1, body);
        digest.WriteField(ref writer, 1);
        writer.VarintField(4, zstd ? Compressor.Zstd : Compressor.Identity);
        if (size > 0)
        {
            writer.BytesHeader(2, size);
        }

        return writer.Position;
    }

    private static int WriteFault(Span<byte> to, in BlobDigest digest, GrpcStatus status, string text)
    {
        var writer = new ProtoWriter(to);
        WriteResponse(ref writer, digest, statusField: 3, new Outcome(status, text));
        return writer.Position;
    }

    private static void Respond(GrpcCall call, List<Update> items, Outcome[] outcomes)
    {
        var size = 0;
        for (var at = 0; at < outcomes.Length; at++)
        {
            size += ResponseOverhead + (outcomes[at].Text is null ? 0 : LongestFault + 8);
        }

        var buffer = ArrayPool<byte>.Shared.Rent(Math.Max(1, size));
        try
        {
            var writer = new ProtoWriter(buffer);
            for (var at = 0; at < outcomes.Length; at++)
            {
                WriteResponse(ref writer, items[at].Digest, statusField: 2, outcomes[at]);
            }

            call.WriteMessage(buffer.AsSpan(0, writer.Position));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>A response {1 digest, … status {1 code, 2 message}} as field 1. The status is written even when it is OK: some clients ask whether it is there.</summary>
    private static void WriteResponse(ref ProtoWriter writer, in BlobDigest digest, int statusField, Outcome outcome)
    {
        Span<byte> text = stackalloc byte[LongestFault];
        Encoding.UTF8.TryGetBytes(outcome.Text.AsSpan()[..Math.Min(outcome.Text?.Length ?? 0, LongestFault / 3)], text, out var textLength);
        var status = ProtoWriter.VarintFieldLength((int)outcome.Status) + (textLength == 0 ? 0 : ProtoWriter.BytesFieldLength(textLength));
        writer.BytesHeader(1, ProtoWriter.BytesFieldLength(digest.EncodedLength) + ProtoWriter.BytesFieldLength(status));
        digest.WriteField(ref writer, 1);
        writer.BytesHeader(statusField, status);
        writer.VarintField(1, (int)outcome.Status);
        if (textLength > 0)
        {
            writer.BytesField(2, text[..textLength]);
        }
    }

    /// <summary>BatchUpdateBlobsRequest {1 instance_name, 2 requests {1 digest, 2 data, 3 compressor}, 5 digest_function}.</summary>
    private static (ReadOnlyMemory<byte> Instance, List<Update> Items, long Bytes) Updates(ReadOnlyMemory<byte> message)
    {
        ReadOnlyMemory<byte> instance = default;
        List<ReadOnlyMemory<byte>> requests = [];
        var function = 0;
        var reader = new ProtoReader(message.Span);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    instance = reader.Slice(message);
                    break;
                case 2:
                    requests.Add(reader.Slice(message));
                    break;
                case 5:
                    function = reader.Int32();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        if (requests.Count > MostItems)
        {
            throw new WireFormatException($"The batch has {requests.Count} blobs; at most {MostItems} are taken. Send smaller batches.");
        }

        var kind = DigestFunction.Kind(function);
        List<Update> items = new(requests.Count);
        long bytes = 0;
        foreach (var request in requests)
        {
            var item = Update.Parse(request, kind);
            bytes += item.Data.Length;
            items.Add(item);
        }

        return bytes <= ReapiContext.LargestBatchBytes
            ? (instance, items, bytes)
            : throw new WireFormatException(
                $"The blobs have {bytes} bytes together; a batch takes {ReapiContext.AdvertisedBatchBytes}. Send smaller batches, or use ByteStream.Write.");
    }

    /// <summary>BatchReadBlobsRequest {1 instance_name, 2 digests, 3 acceptable_compressors, 4 digest_function}.</summary>
    private static (ReadOnlyMemory<byte> Instance, List<BlobDigest> Digests, bool TakesZstd) Reads(ReadOnlyMemory<byte> message)
    {
        ReadOnlyMemory<byte> instance = default;
        List<ReadOnlyMemory<byte>> encoded = [];
        var takesZstd = false;
        var function = 0;
        var reader = new ProtoReader(message.Span);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    instance = reader.Slice(message);
                    break;
                case 2:
                    encoded.Add(reader.Slice(message));
                    break;
                case 3 when reader.HasLength:
                    // Packed: numbers one after another. The ones there are take a byte each.
                    takesZstd |= reader.Bytes().Contains((byte)Compressor.Zstd);
                    break;
                case 3:
                    takesZstd |= reader.Int32() == Compressor.Zstd;
                    break;
                case 4:
                    function = reader.Int32();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        if (encoded.Count > MostItems)
        {
            throw new WireFormatException($"The batch has {encoded.Count} blobs; at most {MostItems} are taken. Ask for fewer at a time.");
        }

        var kind = DigestFunction.Kind(function);
        return (instance, encoded.ConvertAll(bytes => BlobDigest.Read(bytes.Span, kind)), takesZstd);
    }

    private void Record(GrpcCall call, BuildCacheAccess access, RequestKind kind, int blobs, int missing, long bytes, long start) => context.Record(new RequestRecord
    {
        Access = access,
        Kind = kind,
        Blobs = blobs,
        Missing = missing,
        Bytes = bytes,
        Metadata = RequestMetadata.Header(call.Http.Request.Headers),
        Duration = context.Since(start),
    });

    private readonly record struct Outcome(GrpcStatus Status, string? Text);

    private readonly record struct Update(BlobDigest Digest, ReadOnlyMemory<byte> Data, int Compressor)
    {
        public static Update Parse(ReadOnlyMemory<byte> message, BlobKind kind)
        {
            ReadOnlySpan<byte> digest = default;
            ReadOnlyMemory<byte> data = default;
            var compressor = 0;
            var reader = new ProtoReader(message.Span);
            while (reader.Next(out var field))
            {
                switch (field)
                {
                    case 1:
                        digest = reader.Bytes();
                        break;
                    case 2:
                        data = reader.Slice(message);
                        break;
                    case 3:
                        compressor = reader.Int32();
                        break;
                    default:
                        reader.Skip();
                        break;
                }
            }

            return new Update(BlobDigest.Read(digest, kind), data, compressor);
        }
    }
}
