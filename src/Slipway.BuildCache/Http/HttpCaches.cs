using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>
/// The HTTP caches of build tools, on the namespaces of the gRPC cache: same keys, same quota, same blobs.
/// </summary>
/// <remarks>
/// <code>
/// /cache/{org}/{cache}[/{sub}]/…
///        │
///   which tool? (HttpRoute, else 404)  may the caller? (BuildCacheDirectory; before "100 Continue" and the body)
///        │
///   ac, cas            BazelHttp      content-addressed blobs, and action results that are checked like gRPC's
///   turbo              Turborepo  ┐
///   sccache            WebDav     ├─► KeyedObjects: one object per key, with a few headers kept beside it
///   ccache nx gradle go KeyedHttp ┘
/// </code>
/// For every one of these tools 404 is a miss and goes unsaid, so it is only for what is absent: a wrong name or a key without the
/// right is 401 or 403 with the reason in words, trouble of ours is 503 or 507.
/// </remarks>
internal sealed partial class HttpCaches(
    BuildCacheDirectory caches, BazelHttp bazel, KeyedHttp keyed, WebDav webDav, Turborepo turborepo, HttpCacheMetrics metrics, TimeProvider time, ILogger<HttpCaches> logger)
{
    public const string Prefix = BuildCacheOptions.HttpPrefix + "/";

    private static readonly StringValues Challenge = "Basic realm=\"slipway\"";
    private static readonly StringValues NoStore = "private, no-store";

    public async Task HandleAsync(HttpContext http)
    {
        var started = time.GetTimestamp();
        try
        {
            if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            {
                // The cache's own limit holds; the server's is for JSON.
                size.MaxRequestBodySize = null;
            }

            // What is here depends on the credential, and nothing between may keep it.
            http.Response.Headers.CacheControl = NoStore;
            await ServeAsync(http);
        }
        catch (ApiException refusal)
        {
            await RefuseAsync(http, refusal);
        }
        catch (ContentStoreException failure)
        {
            Log.Failed(logger, failure, http.Request.Method, http.Request.Path.Value);
            await RefuseAsync(http, Of(failure));
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            // Not the client's leaving: its right has ended.
            await RefuseAsync(http, HttpBodies.Ended());
        }
        finally
        {
            metrics.Ended(http, time.GetElapsedTime(started));
        }
    }

    private Task ServeAsync(HttpContext http)
    {
        var path = http.Request.Path.Value.AsSpan();
        if (path.Length <= Prefix.Length || !HttpRoute.TryParse(path[Prefix.Length..], out var route))
        {
            throw new ApiException(404, ProblemCodes.NotFound, "A build cache is reached as /cache/{org}/{cache}/ and ac, cas, ccache, sccache, turbo, nx, gradle or go.");
        }

        var (tool, key) = (route.Tool, route.Key.ToString());
        var access = caches.FindAsync(http, route.Instance, NeededFor(http.Request.Method, tool), http.RequestAborted);
        return access.IsCompletedSuccessfully ? ServeAsync(http, tool, key, access.Result) : AwaitedAsync();

        async Task AwaitedAsync() => await ServeAsync(http, tool, key, await access);
    }

    private Task ServeAsync(HttpContext http, HttpTool tool, string key, BuildCacheAccess access) => tool switch
    {
        HttpTool.BazelActions => bazel.ActionAsync(http, access, key),
        HttpTool.BazelBlobs => bazel.BlobAsync(http, access, key),
        HttpTool.Sccache => webDav.HandleAsync(http, access, key),
        HttpTool.Turborepo => turborepo.HandleAsync(http, access, key),
        _ => keyed.HandleAsync(http, access, tool, key),
    };

    /// <summary>A PUT decides what others get, except for blobs that are named by their own hash.</summary>
    private static BuildCacheRights NeededFor(string method, HttpTool tool) => method switch
    {
        "PUT" or "DELETE" => tool == HttpTool.BazelBlobs ? BuildCacheRights.Write : BuildCacheRights.WriteActions,
        // Looking, and what WebDAV and Turborepo send before or after without changing anything.
        _ => BuildCacheRights.Read,
    };

    private static ApiException Of(ContentStoreException failure) => failure.Failure switch
    {
        ContentFailure.StoreFull or ContentFailure.QuotaExhausted => new ApiException(StatusCodes.Status507InsufficientStorage, ProblemCodes.StoreFull, failure.Message),
        ContentFailure.DigestMismatch => new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, failure.Message),
        _ => new ApiException(StatusCodes.Status503ServiceUnavailable, ProblemCodes.Unavailable, "The build cache's disk can't be read or written just now.") { RetryAfter = TimeSpan.FromSeconds(1) },
    };

    private static Task RefuseAsync(HttpContext http, ApiException refusal)
    {
        if (http.Response.HasStarted)
        {
            http.Abort();
            return Task.CompletedTask;
        }

        // That there is no such cache is no miss: a misspelt name would make every build slow and nobody would be told.
        var status = refusal.Status == 404 && HttpRoute.TryParse(http.Request.Path.Value.AsSpan(Math.Min(Prefix.Length, http.Request.Path.Value!.Length)), out _)
            ? StatusCodes.Status403Forbidden
            : refusal.Status;
        http.Response.Clear();
        if (status == StatusCodes.Status401Unauthorized)
        {
            http.Response.Headers.WWWAuthenticate = Challenge;
        }

        if (status == StatusCodes.Status413PayloadTooLarge || refusal.Code == ProblemCodes.CredentialRevoked)
        {
            // The body is not read to its end, so the connection can't be used again.
            http.Response.Headers.Connection = "close";
        }

        if (refusal.RetryAfter is { } delay)
        {
            http.Response.Headers.RetryAfter = ((int)Math.Ceiling(delay.TotalSeconds)).ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        var text = refusal.Hint is null ? refusal.Message : $"{refusal.Message} {refusal.Hint}";
        return Turborepo.Owns(http.Request.Path) ? Turborepo.RefuseAsync(http, status, refusal.Code, text) : HttpText.AnswerAsync(http, status, text);
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "{Method} {Path} failed in the store.")]
        public static partial void Failed(ILogger logger, Exception failure, string method, string? path);
    }
}

/// <summary>Short answers in plain text: most of these tools print the body of an error as it is.</summary>
internal static class HttpText
{
    private static readonly byte[] Miss = "not in this cache\n"u8.ToArray();

    /// <summary>A miss: as frequent as a hit, and always the same bytes.</summary>
    public static Task MissAsync(HttpContext http) => AnswerAsync(http, StatusCodes.Status404NotFound, Miss);

    /// <summary>Takes an object away, and says whether it was here.</summary>
    public static Task RemoveAsync(HttpContext http, BuildCacheAccess access, BlobKey place)
    {
        if (!access.Space.Remove(place))
        {
            return MissAsync(http);
        }

        http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    public static Task AnswerAsync(HttpContext http, int status, string text) => AnswerAsync(http, status, System.Text.Encoding.UTF8.GetBytes(text + "\n"));

    public static ApiException MethodNotAllowed(HttpContext http, string allowed)
    {
        http.Response.Headers.Allow = allowed;
        return new ApiException(StatusCodes.Status405MethodNotAllowed, ProblemCodes.MethodNotAllowed, $"This takes no {http.Request.Method}, but {allowed}.");
    }

    public static Task AnswerAsync(HttpContext http, int status, byte[] body, string contentType = "text/plain; charset=utf-8")
    {
        var response = http.Response;
        response.StatusCode = status;
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        return HttpMethods.IsHead(http.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body, http.RequestAborted).AsTask();
    }
}
