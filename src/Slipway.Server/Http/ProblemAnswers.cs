using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Npgsql;
using Slipway.Api;
using Slipway.Content;
using Slipway.Queue;
using Slipway.Resp;
using Slipway.Tenancy;

namespace Slipway.Server.Http;

/// <summary>
/// The one place where failures become <c>application/problem+json</c>: exceptions, and statuses without a body such as routing's 404
/// and 405. Also sees to it that a request refused before its body leaves the connection in a defined state.
/// </summary>
internal sealed partial class ProblemAnswers(RequestDelegate next, ILogger<ProblemAnswers> logger)
{
    public async Task InvokeAsync(HttpContext http)
    {
        http.Response.Headers.XContentTypeOptions = "nosniff";
        if (http.Request.Headers.Expect.Count > 0)
        {
            http.Response.OnStarting(CloseAfterRefusal, http);
        }

        if (http.Request.Headers.TransferEncoding.Count > 0 && http.Request.Headers.ContainsKey("X-Content-Length"))
        {
            // Kestrel puts a Content-Length beside Transfer-Encoding here and goes on; whoever stands before us may have believed it.
            await WriteAsync(http, new ApiException(400, ProblemCodes.InvalidRequest, "The request has both Content-Length and Transfer-Encoding.", "Send one of them."), keepHeaders: true);
            return;
        }

        try
        {
            await next(http);
        }
        catch (Exception failure)
        {
            await AnswerAsync(http, failure);
            return;
        }

        var response = http.Response;
        // A handler under /nix writes its own answers, bare 404s included: they are the hot path. What never reached one is ours.
        if (response is { StatusCode: >= 400, HasStarted: false, ContentLength: null, ContentType: null } && !(Pipeline.IsOfCache(http) && response.StatusCode == StatusCodes.Status404NotFound && http.GetEndpoint() is not null))
        {
            await WriteAsync(http, OfStatus(http), keepHeaders: true);
        }
    }

    /// <summary>What a client hears of <paramref name="failure"/>. Nothing of an exception that is not ours reaches it.</summary>
    public static ApiException Of(Exception failure) => failure switch
    {
        ApiException known => known,
        BadHttpRequestException bad => OfBadRequest(bad),
        ContentStoreException { Failure: ContentFailure.StoreFull } => new ApiException(
            StatusCodes.Status507InsufficientStorage, ProblemCodes.StoreFull, "The store has no room left for this.", "Free space on the server, or ask its operator to."),
        ContentStoreException { Failure: ContentFailure.QuotaExhausted } full => new ApiException(
            StatusCodes.Status507InsufficientStorage, ProblemCodes.StoreFull, full.Message, "Raise the cache's quota, or wait until older blobs may go."),
        // A NUL, which JSON and URLs can carry and PostgreSQL's text can't.
        PostgresException { SqlState: PostgresErrorCodes.CharacterNotInRepertoire } => new ApiException(
            StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, "The request has a character U+0000 where text is expected."),
        NpgsqlException database when IsOutage(database) => Unavailable("The database does not answer."),
        RespConnectionException => Unavailable("The queue does not answer."),
        RespServerException refused when IsOutage(refused) => Unavailable(
            refused.Code == "OOM" ? "The queue's memory is full." : "The queue can't take this now."),
        QueueFullException full => new ApiException(
            StatusCodes.Status429TooManyRequests, ProblemCodes.QueueFull, $"The queue is full: {full.Bound switch { "bytes" => "it holds as many bytes as maxBytes allows", "age" => "its oldest job waits for longer than maxAgeMs allows", _ => "it holds as many jobs as maxJobs allows" }}. Nothing was enqueued.",
            "Try again later, add workers, or raise the queue's limit.") { RetryAfter = TimeSpan.FromSeconds(1) },
        _ => new ApiException(
            StatusCodes.Status500InternalServerError, ProblemCodes.Internal, "The server failed on this request.", "Give the request id to the server's operator: its log says why."),
    };

    private async Task AnswerAsync(HttpContext http, Exception failure)
    {
        // A reset can be seen by the reader of the body before the request counts as aborted.
        if (failure is ConnectionResetException || (http.RequestAborted.IsCancellationRequested && failure is OperationCanceledException or IOException))
        {
            // The client is gone: nobody to answer, nothing wrong with us.
            Log.ClientLeft(logger, http.Request.Method, http.Request.Path.Value);
            http.Abort();
            return;
        }

        var problem = Of(failure);
        switch (problem.Status)
        {
            case StatusCodes.Status500InternalServerError:
                Log.Failed(logger, failure, http.Request.Method, http.Request.Path.Value, http.TraceIdentifier);
                break;
            case StatusCodes.Status503ServiceUnavailable when failure is not ApiException:
                Log.Unavailable(logger, http.Request.Method, http.Request.Path.Value, failure.Message, http.TraceIdentifier);
                break;
        }

        if (http.Response.HasStarted)
        {
            // Half an answer must not look like a whole one.
            http.Abort();
            return;
        }

        await WriteAsync(http, problem, keepHeaders: false);
    }

    private static async Task WriteAsync(HttpContext http, ApiException problem, bool keepHeaders)
    {
        if (!keepHeaders)
        {
            // What the handler set (an ETag, a length, Allow from routing is not among it) belongs to the answer it did not give.
            var headers = http.Response.Headers;
            var requestId = headers[RequestFrame.RequestIdHeader];
            http.Response.Clear();
            headers.XContentTypeOptions = "nosniff";
            if (requestId.Count > 0)
            {
                headers[RequestFrame.RequestIdHeader] = requestId;
            }
        }

        if (problem.Status == StatusCodes.Status413PayloadTooLarge)
        {
            // The rest of the body is not read to its end: Kestrel cuts the connection, and a client that did not know would lose its next request.
            http.Response.Headers.Connection = "close";
        }

        http.Response.Headers.ContentSecurityPolicy = "default-src 'none'; frame-ancestors 'none'";
        try
        {
            await Problems.WriteAsync(http, problem, http.RequestAborted);
        }
        catch (Exception gone) when (gone is OperationCanceledException or IOException)
        {
            http.Abort();
        }
    }

    private static ApiException OfStatus(HttpContext http) => http.Response.StatusCode switch
    {
        StatusCodes.Status404NotFound when http.GetEndpoint() is null => new ApiException(
            404, ProblemCodes.NotFound, $"There is no route {http.Request.Path}.", $"{Routes.OpenApi} lists the routes there are."),
        StatusCodes.Status405MethodNotAllowed => new ApiException(
            405, ProblemCodes.MethodNotAllowed, $"This route takes no {http.Request.Method}.", $"Use one of: {http.Response.Headers.Allow}."),
        StatusCodes.Status415UnsupportedMediaType => new ApiException(
            415, ProblemCodes.UnsupportedMediaType, $"The body came as {http.Request.ContentType ?? "nothing in particular"}, which this route does not read.", "Send Content-Type: application/json."),
        var status => new ApiException(status, CodeOf(status), "The request was refused."),
    };

    private static ApiException OfBadRequest(BadHttpRequestException bad)
    {
        if (bad.InnerException is JsonException json)
        {
            return new ApiException(400, ProblemCodes.InvalidRequest, "The body is not the JSON this route reads.", null, new FieldFault(PointerOf(json.Path), DetailOf(json)));
        }

        return bad.StatusCode switch
        {
            StatusCodes.Status413PayloadTooLarge => new ApiException(413, ProblemCodes.TooLarge, bad.Message, "Send less at once, or ask the server's operator to raise the limit."),
            StatusCodes.Status408RequestTimeout => new ApiException(408, ProblemCodes.Timeout, "The body came too slowly.", "Try again over a better connection."),
            StatusCodes.Status415UnsupportedMediaType => new ApiException(415, ProblemCodes.UnsupportedMediaType, bad.Message, "Send Content-Type: application/json."),
            var status => new ApiException(status, CodeOf(status), bad.Message),
        };
    }

    // System.Text.Json says where in its own path language ($.scopes[0].name); clients of RFC 9457 expect RFC 6901.
    private static string PointerOf(string? path) =>
        path is null ? "" : path.TrimStart('$').Replace("['", "/", StringComparison.Ordinal).Replace("']", "", StringComparison.Ordinal)
            .Replace('.', '/').Replace('[', '/').Replace("]", "", StringComparison.Ordinal);

    private static string DetailOf(JsonException json)
    {
        // The message ends in "Path: … | LineNumber: … | BytePositionInLine: …" and may name our types before that.
        if (json.Message.Contains("could not be mapped to any .NET member", StringComparison.Ordinal))
        {
            return "is not a field of this request";
        }

        if (json.Message.Contains("missing required properties", StringComparison.Ordinal))
        {
            var names = json.Message.AsSpan(json.Message.IndexOf(':', StringComparison.Ordinal) + 1);
            return $"misses required fields:{(names.IndexOf('.') is >= 0 and var end ? names[..end] : names)}";
        }

        var place = json.LineNumber is { } line ? string.Create(CultureInfo.InvariantCulture, $" (line {line + 1}, byte {json.BytePositionInLine + 1})") : "";
        return json.Message.Contains("could not be converted", StringComparison.Ordinal) ? "has the wrong type" + place : "is not valid JSON" + place;
    }

    private static string CodeOf(int status) => status switch
    {
        401 => ProblemCodes.SignInRequired,
        403 => ProblemCodes.Forbidden,
        404 => ProblemCodes.NotFound,
        408 => ProblemCodes.Timeout,
        409 => ProblemCodes.Conflict,
        412 => ProblemCodes.PreconditionFailed,
        413 => ProblemCodes.TooLarge,
        415 => ProblemCodes.UnsupportedMediaType,
        428 => ProblemCodes.PreconditionRequired,
        429 => ProblemCodes.TooManyRequests,
        503 => ProblemCodes.Unavailable,
        507 => ProblemCodes.StoreFull,
        >= 500 => ProblemCodes.Internal,
        _ => ProblemCodes.InvalidRequest,
    };

    private static bool IsOutage(NpgsqlException database) =>
        database.IsTransient || database.InnerException is SocketException or IOException or TimeoutException;

    /// <summary>Redis is up and well known, and can't: full, loading, failing over, or unable to write its disk. All pass, or are the operator's to end.</summary>
    private static bool IsOutage(RespServerException refused) =>
        refused.Code is "OOM" or "LOADING" or "BUSY" or "READONLY" or "MASTERDOWN" or "CLUSTERDOWN" or "TRYAGAIN" or "MISCONF" or "NOREPLICAS";

    private static ApiException Unavailable(string detail) =>
        new(503, ProblemCodes.Unavailable, detail, "Try again shortly; /readyz says what is wrong.") { RetryAfter = TimeSpan.FromSeconds(1) };

    /// <summary>
    /// A client that waits for <c>100 Continue</c> and is refused may send the body or not, and the next bytes on the connection could be
    /// either it or a new request. RFC 9110 10.1.1 lets the server close instead, which leaves no doubt.
    /// </summary>
    private static Task CloseAfterRefusal(object state)
    {
        var http = (HttpContext)state;
        if (http.Response.StatusCode >= 400)
        {
            http.Response.Headers.Connection = "close";
        }

        return Task.CompletedTask;
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Error, "{Method} {Path} failed, request {FailedRequestId}")]
        public static partial void Failed(ILogger logger, Exception failure, string method, string? path, string failedRequestId);

        [LoggerMessage(LogLevel.Warning, "{Method} {Path} could not be served: {Reason}, request {FailedRequestId}")]
        public static partial void Unavailable(ILogger logger, string method, string? path, string reason, string failedRequestId);

        [LoggerMessage(LogLevel.Debug, "{Method} {Path}: the client left before the answer")]
        public static partial void ClientLeft(ILogger logger, string method, string? path);
    }
}
