using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>Writes <see cref="Problem"/> answers.</summary>
public static class Problems
{
    /// <summary>Answers <paramref name="http"/> with <paramref name="exception"/> as a problem. The response must not have started.</summary>
    public static Task WriteAsync(HttpContext http, ApiException exception, CancellationToken cancellationToken)
    {
        var response = http.Response;
        response.StatusCode = exception.Status;
        response.Headers.CacheControl = "no-store";
        if (exception.Status == StatusCodes.Status401Unauthorized)
        {
            response.Headers.WWWAuthenticate = "Bearer realm=\"slipway\"";
        }

        if (exception.RetryAfter is { } wait)
        {
            response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        }

        if (HttpMethods.IsHead(http.Request.Method))
        {
            return Task.CompletedTask;
        }

        response.ContentType = Problem.MediaType;
        return JsonSerializer.SerializeAsync(response.Body, Of(http, exception), ApiJson.Default.Problem, cancellationToken);
    }

    public static Problem Of(HttpContext http, ApiException exception) => new()
    {
        Type = "/problems/" + exception.Code,
        Title = ReasonPhrases.GetReasonPhrase(exception.Status) is { Length: > 0 } phrase ? phrase : "Error",
        Status = exception.Status,
        Detail = exception.Message,
        Instance = http.Request.Path,
        Code = exception.Code,
        Hint = exception.Hint,
        Errors = exception.Faults.Count == 0 ? null : exception.Faults,
        RequestId = http.TraceIdentifier,
        Retryable = exception.RetryAfter is not null,
    };
}
