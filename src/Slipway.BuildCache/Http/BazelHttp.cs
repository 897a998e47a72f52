using System.Buffers;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.ActionCache;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>
/// Bazel's HTTP cache: <c>cas/{sha256}</c> and <c>ac/{action}</c>. Both are the blobs and entries that gRPC serves, so a team may use
/// both protocols on one cache.
/// </summary>
/// <remarks>
/// Bazel uploads outputs, Command and Action before the result, asks nothing beforehand, and takes 200 for done. An action's size is not
/// told over HTTP; entries written here match any.
/// </remarks>
internal sealed class BazelHttp(KeyedObjects objects, IRequestLog log, TimeProvider time)
{
    /// <summary>Longest value under <c>ac/</c>: an ActionResult of 100,000 outputs, of some 160 bytes each.</summary>
    private const int LongestResult = 16 << 20;

    private const long UnknownSize = -1;

    private static readonly byte[] Worker = "remote-cache"u8.ToArray();

    public Task BlobAsync(HttpContext http, BuildCacheAccess access, string key) => TransferAsync(http, access, new BlobKey(BlobKind.Sha256, ParseHash(key)));

    /// <summary>The same for a blob of either digest function, as the API's own route has it.</summary>
    public async Task TransferAsync(HttpContext http, BuildCacheAccess access, BlobKey key)
    {
        switch (http.Request.Method)
        {
            case "GET" or "HEAD":
                await SendBlobAsync(http, access, key);
                break;
            case "PUT":
                await PutBlobAsync(http, access, new BlobDigest(key, HttpBodies.AnnouncedLength(http, access)));
                break;
            default:
                throw HttpText.MethodNotAllowed(http, "GET, HEAD, PUT");
        }
    }

    public async Task ActionAsync(HttpContext http, BuildCacheAccess access, string key)
    {
        var action = new BlobDigest(new BlobKey(BlobKind.Sha256, ParseHash(key)), UnknownSize);
        switch (http.Request.Method)
        {
            case "GET" or "HEAD":
                await SendActionAsync(http, access, action);
                break;
            case "PUT":
                await PutActionAsync(http, access, action);
                break;
            default:
                throw HttpText.MethodNotAllowed(http, "GET, HEAD, PUT");
        }
    }

    private async Task SendBlobAsync(HttpContext http, BuildCacheAccess access, BlobKey key)
    {
        var started = time.GetTimestamp();
        http.Response.ContentType = "application/octet-stream";
        if (new BlobDigest(key, 0).IsEmptyBlob)
        {
            http.Response.ContentLength = 0;
            return;
        }

        var isHere = access.Space.TryFind(key, out var info) && access.Space.Touch(key, info.Length);
        var reason = isHere ? MissReason.Unreadable : MissReason.Absent;
        if (isHere && await BlobAnswer.SendAsync(http, access, info, info.Length))
        {
            reason = MissReason.None;
        }
        else
        {
            http.Response.Clear();
            await HttpText.MissAsync(http);
        }

        Note(http, access, reason == MissReason.None ? RequestKind.BlobRead : RequestKind.BlobMiss, new BlobDigest(key, isHere ? info.Length : UnknownSize),
            HttpMethods.IsHead(http.Request.Method) || reason != MissReason.None ? 0 : info.Length, started, reason);
    }

    private async Task PutBlobAsync(HttpContext http, BuildCacheAccess access, BlobDigest digest)
    {
        var started = time.GetTimestamp();
        var isDuplicate = access.Space.Touch(digest.Key, digest.Size);
        var fault = digest.Size <= ContentSpace.MaxSmall ? await PutSmallAsync(http, access, digest)
            : isDuplicate ? await ReadDuplicateAsync(http, access, digest)
            : await PutLargeAsync(http, access, digest);
        if (fault is not null)
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, fault);
        }

        Note(http, access, isDuplicate ? RequestKind.BlobDuplicate : RequestKind.BlobWrite, digest, digest.Size, started);
    }

    private static async Task<string?> PutSmallAsync(HttpContext http, BuildCacheAccess access, BlobDigest digest)
    {
        var buffer = await HttpBodies.ReadAsync(http, access, (int)digest.Size);
        try
        {
            var body = buffer.AsMemory(0, (int)digest.Size);
            // Not the request's token: the buffer must not go back before the store has done with it.
            return await BlobWriting.PutAsync(access.Space, digest, body, isCompressed: false, CancellationToken.None);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task<string?> PutLargeAsync(HttpContext http, BuildCacheAccess access, BlobDigest digest)
    {
        // Never null: from the start there is nothing to resume.
        await using var upload = await BlobUpload.BeginAsync(access.Space, digest, isCompressed: false, name: null, offset: 0, http.RequestAborted);
        await foreach (var piece in HttpBodies.PiecesAsync(http, access, http.RequestAborted))
        {
            await upload!.AppendAsync(piece, http.RequestAborted);
        }

        return await upload!.FinishAsync(http.RequestAborted);
    }

    /// <summary>A large blob that is here already: read and checked, so that a wrong body is told, and not written again.</summary>
    private static async Task<string?> ReadDuplicateAsync(HttpContext http, BuildCacheAccess access, BlobDigest digest)
    {
        using var hash = BlobHash.Rent(digest.Key.Kind);
        await foreach (var piece in HttpBodies.PiecesAsync(http, access, http.RequestAborted))
        {
            hash.Append(piece.Span);
        }

        var actual = hash.Finish();
        return actual == digest.Key.Hash ? null : BlobWriting.WrongHash(digest, actual);
    }

    private async Task SendActionAsync(HttpContext http, BuildCacheAccess access, BlobDigest action)
    {
        var started = time.GetTimestamp();
        var found = await ActionEntries.FindAsync(access.Space, ActionEntries.KeyOf(access, action), action.Size, time.GetUtcNow(), http.RequestAborted);
        try
        {
            if (found.IsHit)
            {
                await SendResultAsync(http, found);
                Note(http, access, RequestKind.ActionHit, action, found.Result.Length, started);
                return;
            }

            var reason = found.Reason;
            var missing = found.Missing;
            if (!access.Cache.ValidateActions && reason == MissReason.Absent)
            {
                if (await objects.SendAsync(http, access, OpaqueKey(access, action), "application/octet-stream", notesMiss: false))
                {
                    return;
                }

                // Its blobs may have come since it was put.
                if (await objects.ReadAsync(access, WaitingKey(access, action), http.RequestAborted) is { } waiting)
                {
                    (_, missing) = await StoreResultAsync(access, action, waiting, http.RequestAborted);
                    if (missing == default)
                    {
                        await HttpText.AnswerAsync(http, StatusCodes.Status200OK, waiting, "application/octet-stream");
                        Note(http, access, RequestKind.ActionHit, action, waiting.Length, started);
                        return;
                    }

                    reason = MissReason.Incomplete;
                }
            }

            await HttpText.MissAsync(http);
            Note(http, access, RequestKind.ActionMiss, action, 0, started, reason, missing);
        }
        finally
        {
            found.Return();
        }
    }

    private static async Task SendResultAsync(HttpContext http, FoundAction found)
    {
        http.Response.ContentType = "application/octet-stream";
        http.Response.ContentLength = found.Result.Length;
        if (!HttpMethods.IsHead(http.Request.Method))
        {
            http.Response.BodyWriter.Write(found.Result);
            await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
        }
    }

    private async Task PutActionAsync(HttpContext http, BuildCacheAccess access, BlobDigest action)
    {
        var started = time.GetTimestamp();
        var length = HttpBodies.AnnouncedLength(http, access);
        if (length > LongestResult)
        {
            throw new ApiException(413, ProblemCodes.TooLarge, $"What is put under ac/ may have {LongestResult:N0} bytes; this has {length:N0}.");
        }

        var result = await HttpBodies.ReadAsync(http, access, (int)length);
        try
        {
            var body = result.AsMemory(0, (int)length);
            var (fault, missing) = await StoreResultAsync(access, action, body, http.RequestAborted);
            if (fault is not null && access.Cache.ValidateActions)
            {
                throw new ApiException(400, ProblemCodes.InvalidRequest, fault,
                    $"Only results of Bazel go under ac/ of {access.Cache.FullName}; other tools have paths of their own, or switch the validation of its action results off.");
            }

            if (fault is not null)
            {
                // What is no result is anybody's bytes. What is one is kept until its blobs are here, and a miss until then.
                access.Space.Remove(ActionEntries.KeyOf(access, action));
                access.Space.Remove(missing == default ? WaitingKey(access, action) : OpaqueKey(access, action));
                await objects.PutAsync(access, missing == default ? OpaqueKey(access, action) : WaitingKey(access, action), body);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(result);
        }

        Note(http, access, RequestKind.ActionWrite, action, length, started);
    }

    /// <summary>Stores an ActionResult whose blobs are all here. Returns what is wrong with it when it isn't one, and the first blob that isn't here.</summary>
    private static async Task<(string? Fault, BlobDigest Missing)> StoreResultAsync(
        BuildCacheAccess access, BlobDigest action, ReadOnlyMemory<byte> body, CancellationToken cancellationToken)
    {
        try
        {
            var closure = new ActionClosure(access.Space, BlobKind.Sha256);
            if (!await closure.CollectAsync(body, cancellationToken))
            {
                return ($"The result refers to the blob {closure.Missing}, which is not here. Upload all outputs before the result.", closure.Missing!.Value);
            }

            // Where anything may be put, short bytes of another tool can look like a result without outputs: they come back as they are.
            var result = access.Cache.ValidateActions ? ActionResultRewriter.WithWorker(body.Span, Worker) : body;
            await ActionEntries.PutAsync(
                access.Space, ActionEntries.KeyOf(access, action), action.Size, closure.Blobs, result, CancellationToken.None);
            if (!access.Cache.ValidateActions)
            {
                access.Space.Remove(WaitingKey(access, action));
            }

            return default;
        }
        catch (WireFormatException malformed)
        {
            return ($"This is not an ActionResult: {malformed.Message}", default);
        }
    }

    /// <summary>Where values lie that are no results, in a cache that takes them: those of ccache's layout=bazel, for one.</summary>
    private static BlobKey OpaqueKey(BuildCacheAccess access, BlobDigest action) => KeyedObjects.KeyOf(access, "ac", action.Key.Hash.ToString());

    /// <summary>Where results lie, in such a cache, that came before their outputs.</summary>
    private static BlobKey WaitingKey(BuildCacheAccess access, BlobDigest action) => KeyedObjects.KeyOf(access, "ac-waiting", action.Key.Hash.ToString());

    private static Digest ParseHash(string key) => key.Length == BlobDigest.HexLength && !key.AsSpan().ContainsAnyInRange('A', 'F') && Digest.TryParse(key, out var hash)
        ? hash
        : throw new ApiException(400, ProblemCodes.InvalidRequest, "The name has to be a SHA-256, 64 lowercase hex digits.", "Bazel: --digest_function=SHA256.");

    private void Note(HttpContext http, BuildCacheAccess access, RequestKind kind, BlobDigest subject, long bytes, long started, MissReason reason = MissReason.None, BlobDigest missing = default) =>
        log.Record(new RequestRecord
        {
            Access = access,
            Tool = HttpRoute.ToolNameOf(http.Request.Path.Value),
            Kind = kind,
            Reason = reason,
            Subject = subject,
            MissingBlob = missing,
            Blobs = 1,
            Missing = reason == MissReason.None ? 0 : 1,
            Bytes = bytes,
            Duration = time.GetElapsedTime(started),
        });
}
