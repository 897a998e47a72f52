using Dapper;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using Slipway.Content;
using Slipway.Data;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>Answers with stored bytes: NARs, listings, build logs, realisations.</summary>
/// <remarks>
/// NARs go from file to socket through <see cref="SendFileResponseExtensions"/>, which the server's transport turns into
/// sendfile(2). <c>Accept-Ranges: bytes</c> matters: nix resumes a cut download only when it saw it. A file that turns out short
/// aborts the connection; ending it cleanly would pass a truncated NAR for a whole one.
/// </remarks>
internal sealed class NarDownload(ContentStores stores, Database database, NixServingMetrics metrics)
{
    private const string Immutable = "public, max-age=31536000, immutable";

    public async Task AnswerAsync(HttpContext http, ServedCache cache, Digest fileHash, NarEntry nar)
    {
        var response = http.Response;
        // The name is the hash of the bytes: they can never change.
        var etag = $"\"{Nix32.Encode(fileHash.AsSpan())}\"";
        if (http.Request.Headers.IfNoneMatch is { Count: > 0 } known && Conditional.Matches(known, etag))
        {
            Describe(response, cache, etag);
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        if (HttpMethods.IsHead(http.Request.Method))
        {
            Describe(response, cache, etag);
            response.ContentLength = nar.FileSize;
            return;
        }

        await using var content = await stores.Get(cache.Settings.StoreId).OpenAsync(fileHash, http.RequestAborted);
        if (content is null)
        {
            // In the index and not in the store: fsck names it. A 404 lets the client ask the next substituter, and nobody may keep it.
            await PlainText.NotFoundAsync(http);
            return;
        }

        Describe(response, cache, etag);

        var (from, length) = Range(http.Request, etag, content.Length, response);
        response.ContentLength = length;
        metrics.NarBytes(length);
        if (length == 0)
        {
            return;
        }

        if (content.File is { } file)
        {
            await response.SendFileAsync(file.Path, file.Offset + from, length, http.RequestAborted);
        }
        else
        {
            await CopyAsync(content, from, length, response, http.RequestAborted);
        }
    }

    private static void Describe(HttpResponse response, ServedCache cache, string etag)
    {
        response.ContentType = "application/x-nix-nar";
        response.Headers.ETag = etag;
        response.Headers.AcceptRanges = "bytes";
        if (cache.Settings.Public)
        {
            response.Headers.CacheControl = Immutable;
        }
    }

    public async Task AnswerListingAsync(HttpContext http, ServedCache cache, PathEntry path)
    {
        await using var connection = await database.OpenAsync(http.RequestAborted);
        var listing = await connection.QuerySingleOrDefaultAsync<byte[]>(new CommandDefinition(
            "select listing from nix_nar where cache_id = @cacheId and file_hash = @fileHash",
            new { cacheId = cache.Settings.Id, fileHash = path.FileHash.ToArray() }, cancellationToken: http.RequestAborted));
        await AnswerAsync(http, "application/json", listing is null ? null : CompressedListing.Read(listing));
    }

    public async Task AnswerRealisationAsync(HttpContext http, ServedCache cache, string id)
    {
        await using var connection = await database.OpenAsync(http.RequestAborted);
        var body = await connection.QuerySingleOrDefaultAsync<string>(new CommandDefinition(
            "select body from nix_realisation where cache_id = @cacheId and id = @id",
            new { cacheId = cache.Settings.Id, id }, cancellationToken: http.RequestAborted));
        await AnswerAsync(http, "application/json", body is null ? null : System.Text.Encoding.UTF8.GetBytes(body));
    }

    public async Task AnswerLogAsync(HttpContext http, ServedCache cache, string derivation)
    {
        byte[]? digest;
        await using (var connection = await database.OpenAsync(http.RequestAborted))
        {
            digest = await connection.QuerySingleOrDefaultAsync<byte[]>(new CommandDefinition(
                "select digest from nix_log where cache_id = @cacheId and derivation = @derivation",
                new { cacheId = cache.Settings.Id, derivation }, cancellationToken: http.RequestAborted));
        }

        await using var content = digest is null
            ? null
            : await stores.Get(cache.Settings.StoreId).OpenAsync(Digest.FromBytes(digest), http.RequestAborted);
        if (content is null)
        {
            await PlainText.NotFoundAsync(http);
            return;
        }

        http.Response.ContentType = "text/plain; charset=utf-8";
        http.Response.ContentLength = content.Length;
        if (!HttpMethods.IsHead(http.Request.Method))
        {
            await CopyAsync(content, 0, content.Length, http.Response, http.RequestAborted);
        }
    }

    private static async Task AnswerAsync(HttpContext http, string contentType, byte[]? body)
    {
        if (body is null)
        {
            await PlainText.NotFoundAsync(http);
            return;
        }

        http.Response.ContentType = contentType;
        http.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(http.Request.Method))
        {
            await http.Response.Body.WriteAsync(body, http.RequestAborted);
        }
    }

    /// <summary>
    /// The part asked for, with status and headers set. One range is honoured; several, or one in another unit, get the whole
    /// file, which RFC 9110 section 14.2 allows.
    /// </summary>
    private static (long From, long Length) Range(HttpRequest request, string etag, long size, HttpResponse response)
    {
        if (request.Headers.Range is not { Count: 1 } header
            || !RangeHeaderValue.TryParse(header.ToString(), out var ranges)
            || ranges.Unit != "bytes"
            || ranges.Ranges.Count != 1
            || (request.Headers.IfRange is { Count: > 0 } condition && condition != etag))
        {
            return (0, size);
        }

        var range = ranges.Ranges.First();
        // "-500" asks for the last 500 bytes.
        var from = range.From ?? Math.Max(0, size - range.To!.Value);
        var to = range.From is null ? size - 1 : Math.Min(range.To ?? long.MaxValue, size - 1);
        if (from >= size || to < from)
        {
            response.StatusCode = StatusCodes.Status416RangeNotSatisfiable;
            response.Headers.ContentRange = $"bytes */{size}";
            return (0, 0);
        }

        response.StatusCode = StatusCodes.Status206PartialContent;
        response.Headers.ContentRange = $"bytes {from}-{to}/{size}";
        return (from, to - from + 1);
    }

    /// <summary>For stores whose bytes are not a local file.</summary>
    private static async Task CopyAsync(IContentReader content, long from, long length, HttpResponse response, CancellationToken cancellationToken)
    {
        const int BlockBytes = 256 << 10;
        for (var end = from + length; from < end;)
        {
            var block = response.BodyWriter.GetMemory(BlockBytes);
            var read = await content.ReadAsync(block[..(int)Math.Min(block.Length, end - from)], from, cancellationToken);
            if (read == 0)
            {
                response.HttpContext.Abort();
                return;
            }

            response.BodyWriter.Advance(read);
            from += read;
            await response.BodyWriter.FlushAsync(cancellationToken);
        }
    }
}
