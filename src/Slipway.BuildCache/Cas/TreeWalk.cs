using System.Buffers;
using System.Buffers.Text;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.Cas;

/// <summary><c>GetTree</c>: every directory below a root, breadth first, each once.</summary>
/// <remarks>
/// What is missing is left out; only a missing root is an error. A page token is the digest of the last directory before the page:
/// the order of a walk depends on nothing but the digests, so the token holds on every server and after every restart.
/// </remarks>
internal sealed class TreeWalk(ReapiContext context)
{
    /// <summary>Bytes of directories in one message, and the most that one directory may have. The clients' limit is 4 MiB.</summary>
    private const int MessageBytes = 1 << 20;

    private const int LargestDirectory = 4 * 1024 * 1024 - 1024;

    /// <summary>Directories of one tree. The largest source trees have some 200,000.</summary>
    private const int MostDirectories = 1_000_000;

    public async ValueTask AnswerAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var request = Request.Parse(message.Memory);
        var access = await context.AccessAsync(call, request.Instance.Span, BuildCacheRights.Read);
        using var cut = ReapiContext.CutWhenEnded(call, access);
        var space = access.Space;
        var cancellationToken = call.Aborted;
        var queue = new Queue<BlobDigest>([request.Root]);
        var seen = new HashSet<BlobDigest> { request.Root };
        var page = new ArrayBufferWriter<byte>();
        var after = request.Token;
        var inPage = 0;
        int sent = 0, missing = 0;
        BlobDigest last = default;
        while (queue.TryDequeue(out var digest))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (await ReadAsync(space, digest, cancellationToken) is not { } directory)
            {
                missing++;
                if (digest == request.Root)
                {
                    call.Fail(GrpcStatus.NotFound, $"There is no directory {digest} here.");
                    Record(call, access, request.Root, MissReason.Absent, 0, 1, start);
                    return;
                }

                continue;
            }

            Follow(directory, digest.Key.Kind, seen, queue);
            if (after is { } token)
            {
                if (token == digest.Key.Hash)
                {
                    after = null;
                }

                continue;
            }

            // A page ends before the directory that is too much for it, so that the token is known to have something behind it.
            if (inPage > 0 && (inPage >= request.PageSize || page.WrittenCount + directory.Length > MessageBytes))
            {
                Send(call, page, last);
                await call.FlushIfFullAsync();
                inPage = 0;
            }

            var writer = new ProtoWriter(page.GetSpan(ProtoWriter.BytesFieldLength(directory.Length)));
            writer.BytesField(1, directory);
            page.Advance(writer.Position);
            last = digest;
            inPage++;
            sent++;
        }

        if (after is not null)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, "page_token is not of this tree. Start without one.");
        }

        Send(call, page, null);
        Record(call, access, request.Root, MissReason.None, sent, missing, start);
    }

    private static async ValueTask<byte[]?> ReadAsync(ContentSpace space, BlobDigest digest, CancellationToken cancellationToken)
    {
        if (digest.IsEmptyBlob)
        {
            return [];
        }

        if (!space.TryFind(digest.Key, out var info) || info.Length != digest.Size || !space.Touch(digest.Key, digest.Size))
        {
            return null;
        }

        if (digest.Size > LargestDirectory)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, $"The directory {digest} is larger than a message may be.");
        }

        var directory = new byte[digest.Size];
        return await BlobReading.ReadAsync(space, info, directory, cancellationToken) ? directory : null;
    }

    // Directory {2 directories {2 digest}}.
    private static void Follow(ReadOnlySpan<byte> directory, BlobKind kind, HashSet<BlobDigest> seen, Queue<BlobDigest> queue)
    {
        var reader = new ProtoReader(directory);
        while (reader.Next(out var field))
        {
            if (field != 2)
            {
                reader.Skip();
                continue;
            }

            var node = new ProtoReader(reader.Bytes());
            while (node.Next(out var part))
            {
                if (part != 2)
                {
                    node.Skip();
                    continue;
                }

                var child = BlobDigest.Read(node.Bytes(), kind);
                if (seen.Add(child))
                {
                    queue.Enqueue(child);
                }
            }
        }

        if (seen.Count > MostDirectories)
        {
            throw new GrpcException(GrpcStatus.ResourceExhausted, $"The tree has more than {MostDirectories} directories.");
        }
    }

    private static void Send(GrpcCall call, ArrayBufferWriter<byte> page, BlobDigest? last)
    {
        if (last is { } digest)
        {
            Span<byte> token = stackalloc byte[64];
            Base64Url.EncodeToUtf8(digest.Key.Hash.AsSpan(), token, out _, out var length);
            var writer = new ProtoWriter(page.GetSpan(length + 2));
            writer.BytesField(2, token[..length]);
            page.Advance(writer.Position);
        }

        call.WriteMessage(page.WrittenSpan);
        page.ResetWrittenCount();
    }

    private void Record(GrpcCall call, BuildCacheAccess access, in BlobDigest root, MissReason reason, int sent, int missing, long start) => context.Record(new RequestRecord
    {
        Access = access,
        Kind = RequestKind.Tree,
        Reason = reason,
        Subject = root,
        Blobs = sent + missing,
        Missing = missing,
        Metadata = RequestMetadata.Header(call.Http.Request.Headers),
        Duration = context.Since(start),
    });

    /// <summary>GetTreeRequest {1 instance_name, 2 root_digest, 3 page_size, 4 page_token, 5 digest_function}.</summary>
    private readonly record struct Request(ReadOnlyMemory<byte> Instance, BlobDigest Root, int PageSize, Digest? Token)
    {
        public static Request Parse(ReadOnlyMemory<byte> message)
        {
            ReadOnlyMemory<byte> instance = default;
            ReadOnlySpan<byte> root = default, token = default;
            int pageSize = 0, function = 0;
            var reader = new ProtoReader(message.Span);
            while (reader.Next(out var field))
            {
                switch (field)
                {
                    case 1:
                        instance = reader.Slice(message);
                        break;
                    case 2:
                        root = reader.Bytes();
                        break;
                    case 3:
                        pageSize = reader.Int32();
                        break;
                    case 4:
                        token = reader.Bytes();
                        break;
                    case 5:
                        function = reader.Int32();
                        break;
                    default:
                        reader.Skip();
                        break;
                }
            }

            if (pageSize < 0)
            {
                throw new WireFormatException($"page_size is negative: {pageSize}.");
            }

            return new Request(
                instance, BlobDigest.Read(root, DigestFunction.Kind(function)), pageSize == 0 ? int.MaxValue : pageSize, token.IsEmpty ? null : ReadToken(token));
        }

        private static Digest ReadToken(ReadOnlySpan<byte> token)
        {
            Span<byte> hash = stackalloc byte[Digest.Size];
            return token.Length <= 64 && Base64Url.DecodeFromUtf8(token, hash, out _, out var length) == OperationStatus.Done && length == Digest.Size
                ? Digest.FromBytes(hash)
                : throw new WireFormatException("page_token is not one of ours. Start without one.");
        }
    }
}
