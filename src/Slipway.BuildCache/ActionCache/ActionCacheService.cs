using System.Text;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Insight;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Grpc;

namespace Slipway.BuildCache.ActionCache;

/// <summary><c>build.bazel.remote.execution.v2.ActionCache</c>: what came out when an action was run before.</summary>
internal sealed class ActionCacheService(ReapiContext context)
{
    /// <summary>Paths a client may ask to be inlined; recc asks for one.</summary>
    private const int MostInlinePaths = 1000;

    private static readonly byte[] NoWorker = Encoding.UTF8.GetBytes("remote-cache");

    public async ValueTask GetAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var request = GetRequest.Parse(message.Memory);
        var access = await context.AccessAsync(call, request.Instance.Span, BuildCacheRights.Read);
        var space = access.Space;
        var found = await ActionEntries.FindAsync(
            space, ActionEntries.KeyOf(access, request.Action), request.Action.Size, context.Time.GetUtcNow(), CancellationToken.None);
        try
        {
            long bytes = 0;
            if (!found.IsHit)
            {
                call.Fail(GrpcStatus.NotFound, Explain(request.Action, found));
            }
            else if (request.Inlines)
            {
                var result = await ActionResultRewriter.InlineAsync(
                    space, request.Action.Key.Kind, found.Result.ToArray(), request.InlineStdout, request.InlineStderr, request.InlinePaths, call.Aborted);
                bytes = result.Length;
                call.WriteMessage(result.Span);
            }
            else
            {
                bytes = found.Result.Length;
                call.WriteMessage(found.Result);
            }

            context.Record(new RequestRecord
            {
                Access = access,
                Kind = found.IsHit ? RequestKind.ActionHit : RequestKind.ActionMiss,
                Reason = found.Reason,
                Subject = request.Action,
                MissingBlob = found.Missing,
                Blobs = 1,
                Missing = found.IsHit ? 0 : 1,
                Bytes = bytes,
                Cost = ExecutionCost.Of(found.Result),
                Metadata = RequestMetadata.Header(call.Http.Request.Headers),
                Duration = context.Since(start),
            });
        }
        finally
        {
            found.Return();
        }
    }

    public async ValueTask UpdateAsync(GrpcCall call)
    {
        var start = context.Start();
        using var message = new Message(await call.ReadRequestAsync());
        var request = UpdateRequest.Parse(message.Memory);
        var access = await context.AccessAsync(call, request.Instance.Span, BuildCacheRights.None);
        var kind = RequestKind.ActionWrite;
        if (!access.MayWriteActions)
        {
            if (!ReapiContext.IsHumoured(RequestMetadata.Of(call.Http)))
            {
                await context.AccessAsync(call, request.Instance.Span, BuildCacheRights.WriteActions);
            }

            // It was told that it may, or it would refuse to build at all. Nothing is stored, and it goes on building.
            call.WriteMessage(request.Result.Span);
            kind = RequestKind.ActionWriteDropped;
        }
        else
        {
            var space = access.Space;
            var closure = new ActionClosure(space, request.Action.Key.Kind);
            if (!await closure.CollectAsync(request.Result, call.Aborted))
            {
                throw Incomplete(closure.Missing!.Value);
            }

            var result = ActionResultRewriter.WithWorker(request.Result.Span, NoWorker);
            await ActionEntries.PutAsync(
                space, ActionEntries.KeyOf(access, request.Action), request.Action.Size, closure.Blobs, result, CancellationToken.None);
            call.WriteMessage(result);
        }

        context.Record(new RequestRecord
        {
            Access = access,
            Kind = kind,
            Subject = request.Action,
            Blobs = 1,
            Bytes = request.Result.Length,
            Cost = ExecutionCost.Of(request.Result.Span),
            Metadata = RequestMetadata.Header(call.Http.Request.Headers),
            Duration = context.Since(start),
        });
    }

    private static string Explain(in BlobDigest action, in FoundAction found) => found.Reason switch
    {
        MissReason.Incomplete => $"The result of action {action} is here, but the blob {found.Missing} it refers to is not.",
        MissReason.OtherSize => $"There is no result of action {action} here; there is one of an action with that hash and another size.",
        MissReason.Unreadable => $"The result of action {action} was damaged and is set aside.",
        _ => $"There is no result of action {action} here.",
    };

    private static GrpcException Incomplete(in BlobDigest missing) => new(
        GrpcStatus.FailedPrecondition,
        $"The result refers to the blob {missing}, which is not here. Upload all outputs before the result.",
        GrpcDetail.PreconditionFailure([("MISSING", $"blobs/{missing}", "")]));

    /// <summary>GetActionResultRequest {1 instance_name, 2 action_digest, 3 inline_stdout, 4 inline_stderr, 5 inline_output_files, 6 digest_function}.</summary>
    private readonly record struct GetRequest(
        ReadOnlyMemory<byte> Instance, BlobDigest Action, bool InlineStdout, bool InlineStderr, IReadOnlyList<byte[]> InlinePaths)
    {
        public bool Inlines => InlineStdout || InlineStderr || InlinePaths.Count > 0;

        public static GetRequest Parse(ReadOnlyMemory<byte> message)
        {
            ReadOnlyMemory<byte> instance = default;
            ReadOnlySpan<byte> digest = default;
            var function = 0;
            bool stdout = false, stderr = false;
            List<byte[]>? paths = null;
            var reader = new ProtoReader(message.Span);
            while (reader.Next(out var field))
            {
                switch (field)
                {
                    case 1:
                        instance = reader.Slice(message);
                        break;
                    case 2:
                        digest = reader.Bytes();
                        break;
                    case 3:
                        stdout = reader.Bool();
                        break;
                    case 4:
                        stderr = reader.Bool();
                        break;
                    case 5:
                        paths ??= [];
                        paths.Add(reader.Bytes().ToArray());
                        if (paths.Count > MostInlinePaths)
                        {
                            throw new WireFormatException($"inline_output_files has more than {MostInlinePaths} paths.");
                        }

                        break;
                    case 6:
                        function = reader.Int32();
                        break;
                    default:
                        reader.Skip();
                        break;
                }
            }

            return new GetRequest(instance, BlobDigest.Read(digest, DigestFunction.Kind(function)), stdout, stderr, paths ?? (IReadOnlyList<byte[]>)[]);
        }
    }

    /// <summary>UpdateActionResultRequest {1 instance_name, 2 action_digest, 3 action_result, 5 digest_function}.</summary>
    private readonly record struct UpdateRequest(ReadOnlyMemory<byte> Instance, BlobDigest Action, ReadOnlyMemory<byte> Result)
    {
        public static UpdateRequest Parse(ReadOnlyMemory<byte> message)
        {
            ReadOnlyMemory<byte> instance = default, result = default;
            ReadOnlySpan<byte> digest = default;
            var function = 0;
            var hasResult = false;
            var reader = new ProtoReader(message.Span);
            while (reader.Next(out var field))
            {
                switch (field)
                {
                    case 1:
                        instance = reader.Slice(message);
                        break;
                    case 2:
                        digest = reader.Bytes();
                        break;
                    case 3:
                        result = reader.Slice(message);
                        hasResult = true;
                        break;
                    case 5:
                        function = reader.Int32();
                        break;
                    default:
                        reader.Skip();
                        break;
                }
            }

            return hasResult
                ? new UpdateRequest(instance, BlobDigest.Read(digest, DigestFunction.Kind(function)), result)
                : throw new WireFormatException("action_result is missing.");
        }
    }
}
