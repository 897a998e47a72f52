using System.IO.Compression;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Npgsql;
using Slipway.Content;
using Slipway.Data;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// PUTs of stock <c>nix copy --to</c>. The caller is allowed already; what can be refused without the body is refused here
/// before it is asked for.
/// </summary>
/// <remarks>
/// nix 2.8 sends, per path: <c>HEAD nar/…</c>, <c>PUT nar/…</c>, <c>PUT {hash}.narinfo</c>. Newer ones send all NARs first. So a
/// NAR is verified and kept on its own; the narinfo later claims it, and only then is there a path.
/// </remarks>
internal sealed partial class NixUpload(
    ContentStores stores,
    Database database,
    PathPublisher publisher,
    Changes changes,
    Authenticator authenticator,
    IngestSlots slots,
    NixCacheOptions options,
    NixServingMetrics metrics,
    TimeProvider time,
    ILogger<NixUpload> logger)
{
    /// <summary>Largest realisation: a JSON object of a few ids and signatures.</summary>
    private const int MaxRealisationBytes = 64 << 10;

    public async Task PutAsync(HttpContext http, ServedCache cache, NixRoute route, Caller caller)
    {
        // The limits are ours, per kind of file; Kestrel's own is off for this request.
        http.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = null;
        try
        {
            switch (route.File)
            {
                case NixFile.Nar:
                    await PutNarAsync(http, cache, route, caller);
                    break;
                case NixFile.NarInfo:
                    await PutNarInfoAsync(http, cache, route, caller);
                    break;
                case NixFile.Log:
                    await PutLogAsync(http, cache, route.Name, caller);
                    break;
                case NixFile.Realisation:
                    await PutRealisationAsync(http, cache, route.Name, caller);
                    break;
                default:
                    // nix-cache-info, listings and debug info are made by the server from what it verified. Answering before
                    // the body lets the client skip it.
                    http.Response.StatusCode = StatusCodes.Status200OK;
                    break;
            }
        }
        catch (NarRejectedException exception)
        {
            metrics.Rejected();
            await PlainText.AnswerAsync(http, exception.Status, exception.Message);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            await PlainText.AnswerAsync(http, StatusCodes.Status409Conflict, $"{cache.Settings.FullName} was removed while this was uploaded.");
        }
        catch (Exception exception) when (exception is NpgsqlException or ContentStoreException { Failure: ContentFailure.Unavailable } && HasReadBody(http))
        {
            // Ours, not the client's, and still no 5xx: see the remarks on NixProtocol. Nothing of the upload is visible.
            Log.Failed(logger, exception, cache.Settings.FullName);
            await PlainText.AnswerAsync(http, StatusCodes.Status424FailedDependency, "The server could not finish this upload just now; push again.");
        }
        catch (ContentStoreException exception) when (exception.Failure == ContentFailure.StoreFull)
        {
            // Before the body 507 is honest and retries cleanly; after it, any 5xx makes nix 2.8 hang for 300 s.
            Log.StoreFull(logger, cache.Settings.FullName, exception.Message);
            await PlainText.AnswerAsync(
                http,
                HasReadBody(http) ? StatusCodes.Status413PayloadTooLarge : StatusCodes.Status507InsufficientStorage,
                $"The store of {cache.Settings.FullName} is full. Free space or ask its operator to.");
        }
    }

    private async Task PutNarAsync(HttpContext http, ServedCache cache, NixRoute route, Caller caller)
    {
        var cancellationToken = http.RequestAborted;
        var length = http.Request.ContentLength;
        if (length > options.MaxNarBytes)
        {
            throw NarRejectedException.TooLarge($"The file has {length:N0} bytes; this server accepts up to {options.MaxNarBytes:N0}.");
        }

        var index = await cache.IndexAsync(cancellationToken);
        var store = stores.Get(cache.Settings.StoreId);
        if (index.TryFindNar(route.FileHash, out _) && (await store.FindMissingAsync([route.FileHash], cancellationToken)).Count == 0)
        {
            // This very cache has these very bytes, verified: no need for the body. Bytes that were lost are taken again.
            http.Response.StatusCode = StatusCodes.Status200OK;
            return;
        }

        using var slot = slots.TryTake();
        if (slot is null)
        {
            http.Response.Headers.RetryAfter = "1";
            await PlainText.AnswerAsync(http, StatusCodes.Status503ServiceUnavailable, "Too many uploads at once; try again in a second.");
            return;
        }

        await using var ingest = await NarIngest.BeginAsync(store, route.Compression, length, options, cancellationToken);
        MarkBodyRead(http);
        await ingest.AppendAllAsync(http.Request.BodyReader, cancellationToken);
        await RequireStillAllowedAsync(cache, caller, cancellationToken);
        var nar = await ingest.CommitAsync(route.FileHash, cancellationToken);
        await using (var connection = await database.OpenAsync(cancellationToken))
        {
            await NarRows.InsertAsync(connection, null, cache.Settings.Id, [nar], time.GetUtcNow(), keepCandidates: true, cancellationToken);
        }

        index.EnterNar(nar.FileHash, new NarEntry(nar.FileSize, NarCompression.NameOf(nar.Compression)));
        metrics.Ingested(nar.NarSize);
        http.Response.StatusCode = StatusCodes.Status201Created;
    }

    private async Task PutNarInfoAsync(HttpContext http, ServedCache cache, NixRoute route, Caller caller)
    {
        var cancellationToken = http.RequestAborted;
        var text = await ReadSmallBodyAsync(http, options.MaxNarInfoBytes);
        if (!NarInfo.TryParse(text, out var claimed, out var fault))
        {
            throw NarRejectedException.Because($"The narinfo is malformed: {fault}");
        }

        if (claimed.StorePath.Hash != route.Hash)
        {
            throw NarRejectedException.Because($"The narinfo of {claimed.StorePath.FullPath} was sent to the URL of another path.");
        }

        // Only the name of the file counts, wherever the client thinks it lies: URLs are ours to write.
        var fileName = claimed.Url[(claimed.Url.LastIndexOf('/') + 1)..];
        if (!NarFileName.TryParse(fileName, out var fileHash, out _))
        {
            throw NarRejectedException.Because($"URL '{claimed.Url}' does not name a NAR as nar/{{file hash}}.nar[.zst|.xz|.bz2].");
        }

        VerifiedNar? nar;
        await using (var connection = await database.OpenAsync(cancellationToken))
        {
            nar = await NarRows.FindAsync(connection, cache.Settings.Id, fileHash, cancellationToken);
        }

        if (nar is null)
        {
            throw NarRejectedException.Because($"{claimed.Url} has not been uploaded to {cache.Settings.FullName}; send the NAR before its narinfo.");
        }

        await RequireStillAllowedAsync(cache, caller, cancellationToken);
        metrics.Added(await publisher.PublishAsync(cache, [new PathClaim(claimed, nar)], caller.Origin(http), cancellationToken));
        http.Response.StatusCode = StatusCodes.Status201Created;
    }

    private async Task PutLogAsync(HttpContext http, ServedCache cache, string derivation, Caller caller)
    {
        var cancellationToken = http.RequestAborted;
        if (http.Request.ContentLength > options.MaxLogBytes)
        {
            throw NarRejectedException.TooLarge($"Build logs may have up to {options.MaxLogBytes:N0} bytes.");
        }

        await using var upload = await stores.Get(cache.Settings.StoreId).BeginUploadAsync(http.Request.ContentLength, cancellationToken);
        MarkBodyRead(http);
        await using (var body = Decoded(http))
        {
            var buffer = new byte[64 << 10];
            for (int read; (read = await ReadDecodedAsync(body, buffer, cancellationToken)) > 0;)
            {
                if (upload.BytesWritten + read > options.MaxLogBytes)
                {
                    throw NarRejectedException.TooLarge($"Build logs may have up to {options.MaxLogBytes:N0} bytes.");
                }

                await upload.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
            }
        }

        await RequireStillAllowedAsync(cache, caller, cancellationToken);
        var size = upload.BytesWritten;
        var digest = await upload.CommitAsync(null, cancellationToken);
        await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            // The first log of a derivation stays: who may push later can't rewrite what a build said.
            var added = await change.Connection.ExecuteAsync(new CommandDefinition(
                "insert into nix_log (cache_id, derivation, digest, size, uploaded_at) values (@cacheId, @derivation, @digest, @size, @now) on conflict do nothing",
                new { cacheId = cache.Settings.Id, derivation, digest = digest.ToArray(), size, now = time.GetUtcNow() },
                change.Transaction, cancellationToken: token));
            if (added > 0)
            {
                change.Record(cache.Settings.OrgId, "nix.log_pushed", CacheTargets.Of(cache.Settings), new() { ["derivation"] = derivation, ["bytes"] = size });
            }

            return true;
        }, cancellationToken);
        http.Response.StatusCode = StatusCodes.Status201Created;
    }

    /// <summary>
    /// A realisation says which path a content-addressed derivation has. nix 2.8 believes it unsigned, so it is immutable here and
    /// may only name a path of the same cache.
    /// </summary>
    private async Task PutRealisationAsync(HttpContext http, ServedCache cache, string id, Caller caller)
    {
        var cancellationToken = http.RequestAborted;
        var text = await ReadSmallBodyAsync(http, MaxRealisationBytes);
        string? claimedId, outPath;
        try
        {
            using var json = JsonDocument.Parse(text);
            claimedId = json.RootElement.GetProperty("id").GetString();
            outPath = json.RootElement.GetProperty("outPath").GetString();
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw NarRejectedException.Because("A realisation is a JSON object with the strings id and outPath.", exception);
        }

        if (claimedId != id)
        {
            throw NarRejectedException.Because("The realisation's id is not that of the URL.");
        }

        var index = await cache.IndexAsync(cancellationToken);
        if (outPath is null || !StorePath.TryParseBaseName(outPath, out var path) || !index.Contains(path.Hash))
        {
            throw NarRejectedException.Because($"outPath '{outPath}' is not a path of {cache.Settings.FullName}; push the path first.");
        }

        await RequireStillAllowedAsync(cache, caller, cancellationToken);
        var body = System.Text.Encoding.UTF8.GetString(text);
        var stored = await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            var existing = await change.Connection.QuerySingleOrDefaultAsync<string>(new CommandDefinition(
                "select body from nix_realisation where cache_id = @cacheId and id = @id for update",
                new { cacheId = cache.Settings.Id, id }, change.Transaction, cancellationToken: token));
            if (existing is not null)
            {
                return existing;
            }

            await change.Connection.ExecuteAsync(new CommandDefinition(
                "insert into nix_realisation (cache_id, id, body, uploaded_at) values (@cacheId, @id, @body, @now)",
                new { cacheId = cache.Settings.Id, id, body, now = time.GetUtcNow() }, change.Transaction, cancellationToken: token));
            change.Record(cache.Settings.OrgId, "nix.realisation_pushed", CacheTargets.Of(cache.Settings), new() { ["id"] = id, ["outPath"] = outPath });
            return body;
        }, cancellationToken);
        using var storedJson = JsonDocument.Parse(stored);
        if (storedJson.RootElement.GetProperty("outPath").GetString() != outPath)
        {
            throw NarRejectedException.Conflict("This output has another realisation already; the first one stays.");
        }

        http.Response.StatusCode = StatusCodes.Status201Created;
    }

    /// <summary>
    /// Asked between the last byte and the commit: a key revoked, or a member removed, while the upload was running does not get to
    /// finish it.
    /// </summary>
    private async Task RequireStillAllowedAsync(ServedCache cache, Caller caller, CancellationToken cancellationToken)
    {
        var decision = await authenticator.DecideAgainAsync(caller, NixPermissions.Push, cache.Settings.Org, cache.Settings.Name, cancellationToken);
        if (!decision.IsAllowed)
        {
            throw NarRejectedException.NoLongerAllowed(decision.Reason);
        }
    }

    private static async Task<byte[]> ReadSmallBodyAsync(HttpContext http, int maxBytes)
    {
        if (http.Request.ContentLength > maxBytes)
        {
            throw NarRejectedException.TooLarge($"This file may have up to {maxBytes:N0} bytes.");
        }

        MarkBodyRead(http);
        await using var body = Decoded(http);
        using var text = new MemoryStream();
        var buffer = new byte[16 << 10];
        for (int read; (read = await ReadDecodedAsync(body, buffer, http.RequestAborted)) > 0;)
        {
            if (text.Length + read > maxBytes)
            {
                throw NarRejectedException.TooLarge($"This file may have up to {maxBytes:N0} bytes.");
            }

            text.Write(buffer, 0, read);
        }

        return text.ToArray();
    }

    /// <summary>nix 2.32 and newer may send narinfos, listings and logs with a Content-Encoding.</summary>
    private static Stream Decoded(HttpContext http) => http.Request.Headers.ContentEncoding.ToString() switch
    {
        "" or "identity" => http.Request.Body,
        "gzip" => new GZipStream(http.Request.Body, CompressionMode.Decompress),
        "br" => new BrotliStream(http.Request.Body, CompressionMode.Decompress),
        "deflate" => new ZLibStream(http.Request.Body, CompressionMode.Decompress),
        var other => throw NarRejectedException.UnsupportedEncoding(other),
    };

    private static async ValueTask<int> ReadDecodedAsync(Stream body, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await body.ReadAsync(buffer, cancellationToken);
        }
        catch (Exception exception) when (exception is InvalidDataException || (exception is InvalidOperationException && body is BrotliStream))
        {
            throw NarRejectedException.Because("The body is not in the encoding its Content-Encoding names.", exception);
        }
    }

    private static void MarkBodyRead(HttpContext http) => http.Items[typeof(NixUpload)] = true;

    private static bool HasReadBody(HttpContext http) => http.Items.ContainsKey(typeof(NixUpload));

    private static partial class Log
    {
        [LoggerMessage(Level = LogLevel.Warning, Message = "The store of {Cache} is full: {Reason}")]
        public static partial void StoreFull(ILogger logger, string cache, string reason);

        [LoggerMessage(Level = LogLevel.Error, Message = "An upload to {Cache} failed after its body was read.")]
        public static partial void Failed(ILogger logger, Exception exception, string cache);
    }
}
