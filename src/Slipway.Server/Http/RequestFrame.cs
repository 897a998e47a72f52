using System.Buffers;
using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.Server.Http;

/// <summary>
/// What every API request gets: an id (the client's if it is sane), a trace, the headers of an API answer, and a line in the access
/// log. Requests under <c>/nix</c> pass it by, see <see cref="Pipeline"/>, unless somebody listens at debug level or traces.
/// </summary>
internal sealed partial class RequestFrame(RequestDelegate next, TimeProvider time, ILogger<RequestFrame> logger)
{
    public const string RequestIdHeader = "X-Request-Id";

    // Long enough for any UUID, trace id or ULID with a prefix; it is copied into every log line of the request.
    private const int MaxRequestIdLength = 128;

    private static readonly SearchValues<char> IdCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

    public async Task InvokeAsync(HttpContext http)
    {
        var started = time.GetTimestamp();
        var requestId = TakeRequestId(http);
        var headers = http.Response.Headers;
        if (!Pipeline.IsOfCache(http))
        {
            // Answers depend on the credential; nothing between may keep them. A handler that knows better overwrites it.
            headers.CacheControl = "no-store";
            headers.ContentSecurityPolicy = "default-src 'none'; frame-ancestors 'none'";
            headers["Referrer-Policy"] = "no-referrer";
        }

        // Hosting makes an activity only for trace listeners; log lines carry a trace id all the same.
        var own = Activity.Current is null ? StartActivity(http) : null;
        using (logger.BeginScope(new RequestScope(requestId)))
        {
            try
            {
                await next(http);
            }
            finally
            {
                Finish(http, time.GetElapsedTime(started));
                own?.Stop();
            }
        }
    }

    private string TakeRequestId(HttpContext http)
    {
        var given = http.Request.Headers[RequestIdHeader];
        var requestId = given is [{ Length: > 0 and <= MaxRequestIdLength } one] && !one.AsSpan().ContainsAnyExcept(IdCharacters)
            ? one
            : EntityId.Show("req", EntityId.New(time));
        http.TraceIdentifier = requestId;
        http.Response.Headers[RequestIdHeader] = requestId;
        return requestId;
    }

    private static Activity StartActivity(HttpContext http)
    {
        var activity = new Activity("http.request");
        if (http.Request.Headers.TraceParent is [{ } parent] && ActivityContext.TryParse(parent, null, out _))
        {
            activity.SetParentId(parent);
        }

        return activity.Start();
    }

    private void Finish(HttpContext http, TimeSpan elapsed)
    {
        var request = http.Request;
        var template = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText;
        if (Activity.Current is { IsAllDataRequested: true } activity)
        {
            activity.DisplayName = template is null ? request.Method : $"{request.Method} {template}";
            activity.SetTag("http.request.method", request.Method);
            activity.SetTag("url.path", request.Path.Value);
            activity.SetTag("http.route", template);
            activity.SetTag("http.response.status_code", http.Response.StatusCode);
            if (http.Response.StatusCode >= 500)
            {
                activity.SetStatus(ActivityStatusCode.Error);
            }
        }

        // The query may hold page tokens and filters; the path is enough to find the request again. Probes come every second.
        var level = Pipeline.IsOfCache(http) || template is Routes.Health or Routes.Ready or Routes.Metrics ? LogLevel.Debug : LogLevel.Information;
        if (logger.IsEnabled(level))
        {
            Log.Finished(logger, level, request.Method, request.Path.Value, http.Response.StatusCode, Math.Round(elapsed.TotalMilliseconds, 2));
        }
    }

    private static partial class Log
    {
        [LoggerMessage(Message = "{Method} {Path} {Status} in {Milliseconds} ms")]
        public static partial void Finished(ILogger logger, LogLevel level, string method, string? path, int status, double milliseconds);
    }
}
