using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.ByteStream;

/// <summary>One stream that uploads a blob of 1 MiB or more.</summary>
internal sealed class LargeWrite(UploadRegister register, GrpcCall call, BuildCacheAccess access, ContentSpace space, ResourceName name)
{
    /// <summary>How much arrives between two looks whether somebody else has finished the same blob.</summary>
    private const long LookEvery = 4 << 20;

    /// <returns>Bytes that arrived; -1 when the blob was finished by somebody else meanwhile.</returns>
    public async ValueTask<long> RunAsync(WriteMessage message)
    {
        var text = message.ResourceName.ToArray();
        using var cut = ReapiContext.CutWhenEnded(call, access);
        await using var turn = await register.EnterAsync(call, space, name, text);
        var cancellationToken = call.Aborted;
        await using var upload = await BlobUpload.BeginAsync(space, name.Digest, name.IsCompressed, turn.Name, message.Offset, cancellationToken)
            ?? throw new GrpcException(
                GrpcStatus.OutOfRange, $"write_offset is {message.Offset}, and less of this upload is here. Ask QueryWriteStatus where to resume, or start at 0.");
        turn.Upload = upload;
        var first = message.Offset;
        long arrived = 0;
        var nextLook = LookEvery;
        while (true)
        {
            foreach (var piece in message.Data)
            {
                if (!await upload.AppendAsync(piece, cancellationToken))
                {
                    await upload.DiscardAsync();
                    throw new GrpcException(GrpcStatus.InvalidArgument, name.IsCompressed
                        ? BlobWriting.BadFrames(name.Digest)
                        : $"More data came than the {name.Digest.Size} bytes the digest says. Nothing was stored.");
                }
            }

            arrived += message.Data.Length;
            if (message.Finish)
            {
                await ByteStreamWrite.ExpectEndAsync(call);
                if (await upload.FinishAsync(cancellationToken) is { } fault)
                {
                    throw new GrpcException(GrpcStatus.InvalidArgument, fault);
                }

                ByteStreamWrite.Answer(call, first + arrived);
                return arrived;
            }

            if (arrived >= nextLook)
            {
                nextLook += LookEvery;
                if (space.Touch(name.Digest.Key, name.Digest.Size))
                {
                    await upload.DiscardAsync();
                    ByteStreamWrite.Answer(call, name.IsCompressed ? -1 : name.Digest.Size);
                    return -1;
                }
            }

            if (await ByteStreamWrite.NextAsync(call, text, first + arrived) is not { } next)
            {
                // Closed without finish_write: what is here is kept for who resumes it.
                ByteStreamWrite.Answer(call, upload.Size);
                return arrived;
            }

            message = next;
        }
    }
}
