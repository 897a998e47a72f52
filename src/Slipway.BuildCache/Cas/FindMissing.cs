using System.Buffers;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.Cas;

/// <summary>
/// <c>FindMissingBlobs</c>: which of these blobs have to be uploaded. Whatever is here stays for the store's minimum age from now on,
/// because the client relies on the answer.
/// </summary>
internal sealed class FindMissing(ReapiContext context)
{
    public async ValueTask AnswerAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        // What the digests are is told behind them.
        var (instance, kind) = Envelope(message.Memory);
        var access = await context.AccessAsync(call, instance.Span, BuildCacheRights.Read);
        var response = ArrayPool<byte>.Shared.Rent(Math.Max(1, message.Memory.Length));
        try
        {
            var (asked, missing, length) = Find(access.Space, message.Span, kind, response);
            call.WriteMessage(response.AsSpan(0, length));
            context.Record(new RequestRecord
            {
                Access = access,
                Kind = RequestKind.FindMissing,
                Blobs = asked,
                Missing = missing,
                Metadata = RequestMetadata.Header(call.Http.Request.Headers),
                Duration = context.Since(start),
            });
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(response);
        }
    }

    // A missing digest goes back as the bytes it came as: the response has no longer digests than the request.
    private static (int Asked, int Missing, int Length) Find(ContentSpace space, ReadOnlySpan<byte> request, BlobKind kind, Span<byte> response)
    {
        var reader = new ProtoReader(request);
        int asked = 0, missing = 0, length = 0;
        while (reader.Next(out var field))
        {
            if (field != 2)
            {
                reader.Skip();
                continue;
            }

            asked++;
            var bytes = reader.Bytes();
            var digest = BlobDigest.Read(bytes, kind);
            if (space.Touch(digest.Key, digest.Size) || digest.IsEmptyBlob)
            {
                continue;
            }

            missing++;
            var writer = new ProtoWriter(response[length..]);
            writer.BytesField(2, bytes);
            length += writer.Position;
        }

        return (asked, missing, length);
    }

    private static (ReadOnlyMemory<byte> Instance, BlobKind Kind) Envelope(ReadOnlyMemory<byte> message)
    {
        ReadOnlyMemory<byte> instance = default;
        var function = 0;
        var reader = new ProtoReader(message.Span);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    instance = reader.Slice(message);
                    break;
                case 3:
                    function = reader.Int32();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return (instance, DigestFunction.Kind(function));
    }
}
