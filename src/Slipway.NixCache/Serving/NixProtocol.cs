using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// The binary cache protocol of stock Nix, read and write, for every cache of the server.
/// </summary>
/// <remarks>
/// <code>
/// /nix/{org}/{cache}/{file}      (a host name of its own is rewritten to this by the server)
///        │
///   which cache? which file? (strict grammars, else 404)
///        │
///   may the caller? ── GET, HEAD: nix:fetch, free for all on public caches
///        │              PUT: nix:push; every refusal is sent before "100 Continue"
///        │
///   GET  narinfo, miss, HEAD nar   from memory        (CacheIndex)
///        NAR                       file to socket     (NarDownload)
///   PUT  NAR, narinfo, log …       verified, durable, then 2xx   (NixUpload)
/// </code>
/// Status codes are chosen for what clients do with them: 404 is a miss, 4xx is final, 5xx is retried. nix 2.8 hangs for 300 s
/// when a PUT whose body it sent is answered with 5xx or 429 (reference: its curl re-announces the body and sends nothing), so
/// after a body there is only 2xx and 4xx. Not found and not allowed look the same from outside a cache's org.
/// </remarks>
internal sealed class NixProtocol(CacheDirectory caches, Authenticator authenticator, NarDownload downloads, NixUpload uploads, NixServingMetrics metrics)
{
    private static readonly StringValues Challenge = "Basic realm=\"slipway\"";
    private static readonly StringValues PublicCaching = "public, max-age=60";
    private static readonly StringValues PrivateCaching = "private, no-store";

    /// <summary><c>/nix/{org}/{cache}/{file}</c>.</summary>
    public Task HandleAsync(HttpContext http)
    {
        // "/nix" is matched already; the rest is cut by hand: this is the hottest path of the server.
        var path = http.Request.Path.Value.AsSpan();
        path = path.Length > 5 ? path[5..] : [];
        var org = path.IndexOf('/');
        var cache = org < 0 ? -1 : path[(org + 1)..].IndexOf('/');
        return cache < 0
            ? PlainText.NotFoundAsync(http)
            : HandleAsync(http, path[..(org + 1 + cache)], path[(org + cache + 2)..]);
    }

    private Task HandleAsync(HttpContext http, ReadOnlySpan<char> fullName, ReadOnlySpan<char> file)
    {
        var cache = caches.Find(fullName);
        var isFile = NixRoute.TryParse(file, out var route);
        var method = http.Request.Method;
        var reads = HttpMethods.IsGet(method) || HttpMethods.IsHead(method);
        if (!reads && !HttpMethods.IsPut(method))
        {
            http.Response.Headers.Allow = "GET, HEAD, PUT";
            return PlainText.AnswerAsync(http, StatusCodes.Status405MethodNotAllowed, "A binary cache is read with GET and HEAD and written with PUT.");
        }

        if (reads && cache is { Settings.Public: true })
        {
            return isFile ? ReadAsync(http, cache, route) : PlainText.NotFoundAsync(http);
        }

        return AuthoriseAsync(http, cache, fullName.ToString(), isFile ? route : null, reads);
    }

    private async Task AuthoriseAsync(HttpContext http, ServedCache? cache, string fullName, NixRoute? route, bool reads)
    {
        var caller = await authenticator.AuthenticateAsync(http, http.RequestAborted);
        var slash = fullName.IndexOf('/', StringComparison.Ordinal);
        var decision = caller.Decide(reads ? NixPermissions.Fetch : NixPermissions.Push, fullName[..slash], fullName[(slash + 1)..]);
        switch (decision.Outcome)
        {
            case AccessOutcome.SignInRequired:
                // The same whether or not the cache exists.
                http.Response.Headers.WWWAuthenticate = Challenge;
                await PlainText.AnswerAsync(http, StatusCodes.Status401Unauthorized, decision.Reason);
                return;
            case AccessOutcome.Forbidden:
                await PlainText.AnswerAsync(http, StatusCodes.Status403Forbidden, decision.Reason);
                return;
            case AccessOutcome.NotFound when cache is { Settings.Public: true }:
                // A public cache is no secret; that this caller may not write to it is the useful answer.
                await PlainText.AnswerAsync(http, StatusCodes.Status403Forbidden, $"You are not a member of the org of {fullName}.");
                return;
            case AccessOutcome.NotFound:
                await PlainText.NotFoundAsync(http);
                return;
        }

        if (cache is null || route is not { } file)
        {
            await PlainText.NotFoundAsync(http);
        }
        else if (reads)
        {
            await ReadAsync(http, cache, file);
        }
        else
        {
            await uploads.PutAsync(http, cache, file, caller);
        }
    }

    private Task ReadAsync(HttpContext http, ServedCache cache, NixRoute route)
    {
        http.Response.Headers.CacheControl = cache.Settings.Public ? PublicCaching : PrivateCaching;
        var index = cache.IndexAsync(http.RequestAborted);
        return index.IsCompletedSuccessfully
            ? ReadAsync(http, cache, index.Result, route)
            : AwaitedAsync();

        async Task AwaitedAsync() => await ReadAsync(http, cache, await index, route);
    }

    private Task ReadAsync(HttpContext http, ServedCache cache, CacheIndex index, NixRoute route)
    {
        switch (route.File)
        {
            case NixFile.NarInfo:
                var path = index.Find(route.Hash);
                metrics.NarInfo(path is not null);
                return path is null ? PlainText.NotFoundAsync(http) : AnswerAsync(http, "text/x-nix-narinfo", path.NarInfo, path.ETag);
            case NixFile.Nar:
                return index.TryFindNar(route.FileHash, out var nar) && nar.Compression == NarCompression.NameOf(route.Compression)
                    ? downloads.AnswerAsync(http, cache, route.FileHash, nar)
                    : PlainText.NotFoundAsync(http);
            case NixFile.CacheInfo:
                return AnswerAsync(http, "text/x-nix-cache-info", NixCacheInfo.Of(cache.Settings), etag: null);
            case NixFile.Listing:
                return index.Find(route.Hash) is { } listed ? downloads.AnswerListingAsync(http, cache, listed) : PlainText.NotFoundAsync(http);
            case NixFile.Log:
                return downloads.AnswerLogAsync(http, cache, route.Name);
            case NixFile.Realisation:
                return downloads.AnswerRealisationAsync(http, cache, route.Name);
            default:
                return PlainText.NotFoundAsync(http);
        }
    }

    private static Task AnswerAsync(HttpContext http, string contentType, byte[] body, string? etag)
    {
        var response = http.Response;
        if (etag is not null)
        {
            response.Headers.ETag = etag;
            if (http.Request.Headers.IfNoneMatch is { Count: > 0 } known && Conditional.Matches(known, etag))
            {
                response.StatusCode = StatusCodes.Status304NotModified;
                return Task.CompletedTask;
            }
        }

        response.ContentType = contentType;
        response.ContentLength = body.Length;
        return HttpMethods.IsHead(http.Request.Method)
            ? Task.CompletedTask
            : response.Body.WriteAsync(body, http.RequestAborted).AsTask();
    }
}

/// <summary>The <c>nix-cache-info</c> of a cache.</summary>
internal static class NixCacheInfo
{
    public static byte[] Of(CacheSettings cache) =>
        System.Text.Encoding.UTF8.GetBytes($"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: {cache.Priority}\n");
}

/// <summary>Answers to stock Nix are plain text: it prints the body of an error as it is.</summary>
internal static class PlainText
{
    // The miss is as frequent as the hit, and always the same bytes.
    private static readonly byte[] NotFound = "404: not in this cache\n"u8.ToArray();

    public static Task NotFoundAsync(HttpContext http) => AnswerAsync(http, StatusCodes.Status404NotFound, NotFound);

    public static Task AnswerAsync(HttpContext http, int status, string message) =>
        AnswerAsync(http, status, System.Text.Encoding.UTF8.GetBytes(message + "\n"));

    private static Task AnswerAsync(HttpContext http, int status, byte[] body)
    {
        var response = http.Response;
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        response.ContentLength = body.Length;
        return HttpMethods.IsHead(http.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body, http.RequestAborted).AsTask();
    }
}

/// <summary>Conditional requests (RFC 9110 section 13), as far as immutable files need them.</summary>
internal static class Conditional
{
    public static bool Matches(StringValues ifNoneMatch, string etag)
    {
        foreach (var value in ifNoneMatch)
        {
            foreach (var candidate in value.AsSpan().Split(','))
            {
                var tag = value.AsSpan()[candidate].Trim();
                // If-None-Match compares weakly (section 13.1.2).
                tag = tag.StartsWith("W/") ? tag[2..] : tag;
                if (tag is "*" || tag.SequenceEqual(etag))
                {
                    return true;
                }
            }
        }

        return false;
    }
}
