using System.Buffers;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.ByteStream;

/// <summary><c>google.bytestream.ByteStream/Write</c> and <c>QueryWriteStatus</c>: one blob comes in.</summary>
/// <remarks>
/// <code>
/// first message ─ name, rights, size ─┬─ here already ─▶ answered at once, the rest is not read
///                                     ├─ all of it in this message ─▶ hashed and stored where it lies       (Bazel: every small blob)
///                                     ├─ less than 1 MiB ─▶ collected, then the same
///                                     └─ larger ─▶ <see cref="BlobUpload"/>, resumable by the uuid in the name
/// </code>
/// Nothing is stored before all of it has arrived and its hash is the one in its name.
/// </remarks>
internal sealed class ByteStreamWrite(ReapiContext context, UploadRegister register)
{

    private const string ResourceNameHeader = "build.bazel.remote.execution.v2.resource-name";

    public async ValueTask WriteAsync(GrpcCall call)
    {
        var start = context.Start();
        if (await call.ReadMessageAsync() is not { } first)
        {
            // Clients that fail before their first message end the stream like this.
            throw new GrpcException(GrpcStatus.InvalidArgument, "The stream ended before its first message. Send at least one WriteRequest.");
        }

        var message = WriteMessage.Parse(first);
        var name = ResourceName.ParseWrite(message.ResourceName.Span);
        CheckHeader(call, message.ResourceName.Span);
        var access = await context.AccessAsync(call, name.Instance(message.ResourceName.Span), BuildCacheRights.None);
        var digest = name.Digest;
        if (!access.MayWrite)
        {
            if (!ReapiContext.IsHumoured(RequestMetadata.Of(call.Http)))
            {
                await context.AccessAsync(call, name.Instance(message.ResourceName.Span), BuildCacheRights.Write);
            }

            Answer(call, name.IsCompressed ? -1 : digest.Size);
            return;
        }

        if (digest.Size > access.Cache.MaxBlobBytes)
        {
            throw new GrpcException(
                GrpcStatus.InvalidArgument, $"The blob has {digest.Size} bytes; build cache {access.Cache.FullName} takes at most {access.Cache.MaxBlobBytes}.");
        }

        if (message.Offset < 0)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, $"write_offset is negative: {message.Offset}.");
        }

        var space = access.Space;
        if (space.Touch(digest.Key, digest.Size))
        {
            await AnswerDuplicateAsync(call, name, message);
            Record(call, access, RequestKind.BlobDuplicate, digest, 0, start);
            return;
        }

        if (digest.Size > ContentSpace.MaxSmall)
        {
            var arrived = await new LargeWrite(register, call, access, space, name).RunAsync(message);
            Record(call, access, arrived < 0 ? RequestKind.BlobDuplicate : RequestKind.BlobWrite, digest, Math.Max(0, arrived), start);
            return;
        }

        if (message.Offset != 0)
        {
            throw new GrpcException(
                GrpcStatus.OutOfRange, $"write_offset is {message.Offset}, and nothing of this upload is here: uploads of less than 1 MiB begin anew. Start at 0.");
        }

        string? fault;
        long bytes;
        byte[]? rented = null;
        try
        {
            ReadOnlyMemory<byte> data;
            if (message.Finish && message.Data.IsSingleSegment)
            {
                data = message.Data.First;
            }
            else
            {
                (rented, var length) = await CollectAsync(call, access, name, message);
                if (rented is null)
                {
                    // The client closed its side without finishing: nothing to keep.
                    Answer(call, 0);
                    return;
                }

                data = rented.AsMemory(0, length);
            }

            bytes = data.Length;
            // Not to be given up half-way: it takes microseconds, and a client that is gone may come again for it.
            fault = await BlobWriting.PutAsync(space, digest, data, name.IsCompressed, CancellationToken.None);
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }

        if (fault is not null)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, fault);
        }

        await ExpectEndAsync(call);
        Answer(call, bytes);
        Record(call, access, RequestKind.BlobWrite, digest, bytes, start);
    }

    public async ValueTask QueryAsync(GrpcCall call)
    {
        using var message = new Message(await call.ReadRequestAsync());
        var text = NameOf(message.Span).ToArray();
        var name = ResourceName.ParseWrite(text);
        CheckHeader(call, text);
        var access = await context.AccessAsync(call, name.Instance(text), BuildCacheRights.None);
        if (!access.MayWrite && !ReapiContext.IsHumoured(RequestMetadata.Of(call.Http)))
        {
            access = await context.AccessAsync(call, name.Instance(text), BuildCacheRights.Write);
        }

        var space = access.Space;
        if (name.Digest.IsEmptyBlob || space.Touch(name.Digest.Key, name.Digest.Size))
        {
            AnswerQuery(call, name.IsCompressed ? -1 : name.Digest.Size, complete: true);
            return;
        }

        // Small uploads begin anew, which is what 0 says.
        AnswerQuery(call, access.MayWrite ? await register.ResumableAsync(space, name, text, call.Aborted) : 0, complete: false);
    }

    /// <summary>The client's own idea of the name, which proxies route by, has to be the one in the message.</summary>
    internal static void CheckHeader(GrpcCall call, ReadOnlySpan<byte> name)
    {
        if (call.Http.Request.Headers.TryGetValue(ResourceNameHeader, out var header) && (header.Count != 1 || !System.Text.Ascii.Equals(name, header[0])))
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, $"The header {ResourceNameHeader} differs from the resource_name in the message.");
        }
    }

    internal static void Answer(GrpcCall call, long committedSize)
    {
        Span<byte> response = stackalloc byte[11];
        var writer = new ProtoWriter(response);
        writer.VarintField(1, committedSize);
        call.WriteMessage(response[..writer.Position]);
    }

    /// <summary>
    /// The next message of an upload, checked against what came before; null at the end of the stream.
    /// </summary>
    /// <param name="name">The first message's name, which later ones may repeat but not change.</param>
    /// <param name="offset">Where this message has to begin.</param>
    internal static async ValueTask<WriteMessage?> NextAsync(GrpcCall call, ReadOnlyMemory<byte> name, long offset)
    {
        if (await call.ReadMessageAsync() is not { } next)
        {
            return null;
        }

        var message = WriteMessage.Parse(next);
        if (!message.ResourceName.IsEmpty && !message.ResourceName.Span.SequenceEqual(name.Span))
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, "A later message names another resource than the first one. One stream uploads one blob.");
        }

        return message.Offset == offset
            ? message
            : throw new GrpcException(GrpcStatus.InvalidArgument, $"write_offset is {message.Offset} where {offset} bytes have been sent.");
    }

    /// <summary>After finish_write the stream has to end.</summary>
    internal static async ValueTask ExpectEndAsync(GrpcCall call)
    {
        if (await call.ReadMessageAsync() is not null)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, "A message follows the one with finish_write.");
        }
    }

    private static async ValueTask<(byte[]? Data, int Length)> CollectAsync(GrpcCall call, BuildCacheAccess access, ResourceName name, WriteMessage message)
    {
        var most = name.IsCompressed ? BlobWriting.LongestCompressed(name.Digest.Size) : name.Digest.Size;
        // What was announced need not come: the buffer grows with what has arrived.
        var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(most, Math.Max(message.Data.Length, 64 * 1024)));
        using var cut = message.Finish ? default : ReapiContext.CutWhenEnded(call, access);
        var text = message.Finish ? default : message.ResourceName.ToArray();
        var length = 0;
        try
        {
            while (true)
            {
                if (length + message.Data.Length > most)
                {
                    throw new GrpcException(GrpcStatus.InvalidArgument, name.IsCompressed
                        ? BlobWriting.BadFrames(name.Digest)
                        : $"More data came than the {name.Digest.Size} bytes the digest says. Nothing was stored.");
                }

                var added = (int)message.Data.Length;
                if (buffer.Length < length + added)
                {
                    var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(most, Math.Max(length + added, buffer.Length * 2L)));
                    buffer.AsSpan(0, length).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }

                message.Data.CopyTo(buffer.AsSpan(length));
                length += added;
                if (message.Finish)
                {
                    return (buffer, length);
                }

                if (await NextAsync(call, text, length) is not { } next)
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                    return (null, 0);
                }

                message = next;
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    private static async ValueTask AnswerDuplicateAsync(GrpcCall call, ResourceName name, WriteMessage message)
    {
        if (!name.IsCompressed)
        {
            Answer(call, name.Digest.Size);
            return;
        }

        // Bazel 5.0 takes any other answer than its own count of compressed bytes for a failure (bazelbuild/bazel#14654).
        if (!message.Finish && RequestMetadata.Of(call.Http) is { IsBazel: true } client && client.ToolVersion.StartsWith("5.0.", StringComparison.Ordinal))
        {
            var compressed = message.Data.Length;
            var text = message.ResourceName.ToArray();
            var first = message.Offset;
            while (!message.Finish && await NextAsync(call, text, first + compressed) is { } next)
            {
                message = next;
                compressed += message.Data.Length;
            }

            Answer(call, compressed);
            return;
        }

        Answer(call, -1);
    }

    private static ReadOnlySpan<byte> NameOf(ReadOnlySpan<byte> message)
    {
        ReadOnlySpan<byte> name = default;
        var reader = new ProtoReader(message);
        while (reader.Next(out var field))
        {
            if (field == 1)
            {
                name = reader.Bytes();
            }
            else
            {
                reader.Skip();
            }
        }

        return name;
    }

    private static void AnswerQuery(GrpcCall call, long committedSize, bool complete)
    {
        Span<byte> response = stackalloc byte[13];
        var writer = new ProtoWriter(response);
        writer.VarintField(1, committedSize);
        writer.VarintField(2, complete ? 1 : 0);
        call.WriteMessage(response[..writer.Position]);
    }

    private void Record(GrpcCall call, BuildCacheAccess access, RequestKind kind, in BlobDigest digest, long bytes, long start) => context.Record(new RequestRecord
    {
        Access = access,
        Kind = kind,
        Subject = digest,
        Blobs = 1,
        Bytes = bytes,
        Metadata = RequestMetadata.Header(call.Http.Request.Headers),
        Duration = context.Since(start),
    });
}
