using System.Buffers;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.ByteStream;

/// <summary><c>google.bytestream.ByteStream/Read</c>: one blob goes out, from the store straight into the response.</summary>
/// <remarks>
/// <code>
/// stored      asked for      sent
/// raw         identity       as it is, from any offset
/// zstd        zstd           as it is, when from the start
/// raw         zstd           raw blocks in a frame: no work
/// zstd        identity       unpacked;   from an offset in zstd: unpacked, then raw blocks
/// </code>
/// </remarks>
internal sealed class ByteStreamRead(ReapiContext context)
{
    /// <summary>The most data in one message: few enough headers, and a message that every client takes (4 MiB is their limit).</summary>
    private const int MessageSize = 256 * 1024;

    public async ValueTask ReadAsync(GrpcCall call)
    {
        var start = context.Start();
        var request = Request.Parse(await call.ReadRequestAsync());
        var name = request.Name;
        ByteStreamWrite.CheckHeader(call, request.Text.Span);
        var access = await context.AccessAsync(call, name.Instance(request.Text.Span), BuildCacheRights.Read);
        if (request.Limit < 0)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, $"read_limit is negative: {request.Limit}.");
        }

        if (name.IsCompressed && request.Limit != 0)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, "read_limit can't be used with compressed-blobs. Leave it 0.");
        }

        if (request.Offset < 0 || request.Offset > name.Digest.Size)
        {
            throw new GrpcException(GrpcStatus.OutOfRange, $"read_offset is {request.Offset}; the blob has {name.Digest.Size} bytes.");
        }

        var space = access.Space;
        BlobInfo info = default;
        if (!name.Digest.IsEmptyBlob && !(space.TryFind(name.Digest.Key, out info) && info.Length == name.Digest.Size && space.Touch(name.Digest.Key, info.Length)))
        {
            Miss(call, access, name.Digest, info.Key == name.Digest.Key ? MissReason.OtherSize : MissReason.Absent, start);
            return;
        }

        var length = name.Digest.Size - request.Offset;
        if (request.Limit != 0)
        {
            length = Math.Min(length, request.Limit);
        }

        long sent;
        if (length == 0)
        {
            sent = name.IsCompressed ? SendEmptyFrame(call) : 0;
        }
        else
        {
            sent = await (info.IsLarge
                ? SendLargeAsync(call, access, space, info, name.IsCompressed, request.Offset, length)
                : SendSmallAsync(call, space, info, name.IsCompressed, (int)request.Offset, (int)length));
        }

        if (sent < 0)
        {
            Miss(call, access, name.Digest, MissReason.Unreadable, start);
            return;
        }

        Record(call, access, RequestKind.BlobRead, MissReason.None, name.Digest, sent, start);
    }

    private static async ValueTask<long> SendSmallAsync(GrpcCall call, ContentSpace space, BlobInfo info, bool compressed, int offset, int length)
    {
        var stored = info.StoredLength;
        var asStored = compressed ? info.Codec == BlobCodec.Zstd && offset == 0 : info.Codec == BlobCodec.Raw && length == stored;
        if (asStored)
        {
            StartData(call, stored);
            var memory = call.GetMemory(stored)[..stored];
            if (!await space.ReadAsync(info, memory, CancellationToken.None))
            {
                // The message's length is out. The reset tells the client to try again, and then it is a plain miss.
                throw new InvalidDataException("The stored blob has rotted; it is set aside. Try again.");
            }

            call.Advance(stored);
            return stored;
        }

        var rented = ArrayPool<byte>.Shared.Rent((int)info.Length);
        try
        {
            if (!await BlobReading.ReadAsync(space, info, rented.AsMemory(0, (int)info.Length), CancellationToken.None))
            {
                return -1;
            }

            var data = rented.AsMemory(offset, length);
            return compressed ? await SendFramedAsync(call, data) : SendPlain(call, data);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private static long SendPlain(GrpcCall call, ReadOnlyMemory<byte> data)
    {
        StartData(call, data.Length);
        Write(call, data.Span);
        return data.Length;
    }

    private static async ValueTask<long> SendFramedAsync(GrpcCall call, ReadOnlyMemory<byte> data)
    {
        var size = (int)RawZstdFrame.Size(data.Length);
        StartData(call, size);
        WriteFrameHeader(call, data.Length);
        while (true)
        {
            var block = data[..Math.Min(data.Length, RawZstdFrame.BlockSize)];
            data = data[block.Length..];
            WriteBlockHeader(call, block.Length, data.IsEmpty);
            Write(call, block.Span);
            if (data.IsEmpty)
            {
                return size;
            }

            await call.FlushIfFullAsync();
        }
    }

    private static async ValueTask<long> SendLargeAsync(
        GrpcCall call, BuildCacheAccess access, ContentSpace space, BlobInfo info, bool compressed, long offset, long length)
    {
        using var cut = ReapiContext.CutWhenEnded(call, access);
        var cancellationToken = call.Aborted;
        var asStored = compressed ? info.Codec == BlobCodec.Zstd && offset == 0 : info.Codec == BlobCodec.Raw;
        if (asStored)
        {
            await using var reader = await space.OpenAsync(info, cancellationToken);
            return reader is null ? -1 : await SendStoredAsync(call, reader, offset, compressed ? reader.Length : length, cancellationToken);
        }

        await using var source = await DecodedBlob.OpenAsync(space, info, cancellationToken);
        if (source is null)
        {
            return -1;
        }

        await source.SkipAsync(offset, cancellationToken);
        return await SendDecodedAsync(call, source, compressed, length, cancellationToken);
    }

    private static async ValueTask<long> SendStoredAsync(GrpcCall call, IContentReader reader, long offset, long length, CancellationToken cancellationToken)
    {
        for (long sent = 0; sent < length;)
        {
            var message = (int)Math.Min(length - sent, MessageSize);
            StartData(call, message);
            for (var filled = 0; filled < message;)
            {
                var memory = call.GetMemory(message - filled);
                memory = memory[..Math.Min(memory.Length, message - filled)];
                var read = await reader.ReadAsync(memory, offset + sent + filled, cancellationToken);
                if (read == 0)
                {
                    throw new InvalidDataException("A stored blob is shorter than it says.");
                }

                call.Advance(read);
                filled += read;
            }

            sent += message;
            await call.FlushIfFullAsync();
        }

        return length;
    }

    private static async ValueTask<long> SendDecodedAsync(GrpcCall call, DecodedBlob source, bool framed, long length, CancellationToken cancellationToken)
    {
        var block = ArrayPool<byte>.Shared.Rent(RawZstdFrame.BlockSize);
        try
        {
            long sent = 0;
            for (var left = length; left > 0;)
            {
                var size = (int)Math.Min(left, RawZstdFrame.BlockSize);
                for (var filled = 0; filled < size;)
                {
                    var read = await source.ReadAsync(block.AsMemory(filled, size - filled), cancellationToken);
                    filled += read;
                    if (read == 0)
                    {
                        throw new InvalidDataException("A stored blob is shorter than it says.");
                    }
                }

                var header = !framed ? 0 : RawZstdFrame.BlockHeaderSize + (left == length ? RawZstdFrame.HeaderSize(length) : 0);
                StartData(call, header + size);
                if (framed)
                {
                    if (left == length)
                    {
                        WriteFrameHeader(call, length);
                    }

                    WriteBlockHeader(call, size, last: left == size);
                }

                Write(call, block.AsSpan(0, size));
                left -= size;
                sent += header + size;
                await call.FlushIfFullAsync();
            }

            return sent;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(block);
        }
    }

    private static long SendEmptyFrame(GrpcCall call)
    {
        var size = (int)RawZstdFrame.Size(0);
        StartData(call, size);
        WriteFrameHeader(call, 0);
        WriteBlockHeader(call, 0, last: true);
        return size;
    }

    private static void StartData(GrpcCall call, int length)
    {
        var header = 1 + ProtoWriter.VarintLength((ulong)length);
        call.StartMessage(header + length);
        var writer = new ProtoWriter(call.GetSpan(header));
        writer.BytesHeader(10, length);
        call.Advance(header);
    }

    private static void WriteFrameHeader(GrpcCall call, long length) => call.Advance(RawZstdFrame.WriteHeader(call.GetSpan(RawZstdFrame.HeaderSize(length)), length));

    private static void WriteBlockHeader(GrpcCall call, int length, bool last)
    {
        RawZstdFrame.WriteBlockHeader(call.GetSpan(RawZstdFrame.BlockHeaderSize), length, last);
        call.Advance(RawZstdFrame.BlockHeaderSize);
    }

    private static void Write(GrpcCall call, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(call.GetSpan(bytes.Length));
        call.Advance(bytes.Length);
    }

    private void Miss(GrpcCall call, BuildCacheAccess access, in BlobDigest digest, MissReason reason, long start)
    {
        call.Fail(GrpcStatus.NotFound, reason switch
        {
            MissReason.OtherSize => $"There is no blob {digest} here; there is one of that hash and another size.",
            MissReason.Unreadable => $"The blob {digest} was damaged and is set aside. Upload it again.",
            _ => $"There is no blob {digest} here.",
        });
        Record(call, access, RequestKind.BlobMiss, reason, digest, 0, start);
    }

    private void Record(GrpcCall call, BuildCacheAccess access, RequestKind kind, MissReason reason, in BlobDigest digest, long bytes, long start) =>
        context.Record(new RequestRecord
        {
            Access = access,
            Kind = kind,
            Reason = reason,
            Subject = digest,
            Blobs = 1,
            Missing = kind == RequestKind.BlobMiss ? 1 : 0,
            Bytes = bytes,
            Metadata = RequestMetadata.Header(call.Http.Request.Headers),
            Duration = context.Since(start),
        });

    /// <summary>ReadRequest {1 resource_name, 2 read_offset, 3 read_limit}.</summary>
    private readonly record struct Request(ReadOnlyMemory<byte> Text, ResourceName Name, long Offset, long Limit)
    {
        public static Request Parse(in ReadOnlySequence<byte> sequence)
        {
            // A name that lies in two segments is rare enough to be copied.
            var message = sequence.IsSingleSegment ? sequence.First : sequence.ToArray();
            ReadOnlyMemory<byte> text = default;
            long offset = 0, limit = 0;
            var reader = new ProtoReader(message.Span);
            while (reader.Next(out var field))
            {
                switch (field)
                {
                    case 1:
                        text = reader.Slice(message);
                        break;
                    case 2:
                        offset = reader.Int64();
                        break;
                    case 3:
                        limit = reader.Int64();
                        break;
                    default:
                        reader.Skip();
                        break;
                }
            }

            return new Request(text, ResourceName.ParseRead(text.Span), offset, limit);
        }
    }
}
