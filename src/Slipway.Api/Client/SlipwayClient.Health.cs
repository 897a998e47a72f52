using System.Net;
using System.Text.Json.Nodes;

namespace Slipway.Api.Client;

/// <content>Is the server well, and does its clock agree with ours.</content>
public sealed partial class SlipwayClient
{
    /// <summary>One look at <c>/readyz</c>, without tries: what it answered, how long it took, and what time it is there.</summary>
    public async Task<Readiness> CheckReadyAsync(CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(options.CallTimeout, options.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        try
        {
            var start = options.Time.GetTimestamp();
            using var response = await http.GetAsync(Routes.Ready, HttpCompletionOption.ResponseHeadersRead, linked.Token);
            var took = options.Time.GetElapsedTime(start);
            JsonObject? body = null;
            if (response.Content.Headers.ContentType?.MediaType == "application/json")
            {
                body = await ReadAsync(response, Json.JsonObject, linked.Token);
            }

            return new Readiness(response.StatusCode, took, response.Headers.Date, options.Time.GetUtcNow(), body);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw Unreachable(exception);
        }
    }
}

/// <param name="ServerTime">The answer's <c>Date</c>, which counts whole seconds.</param>
public sealed record Readiness(HttpStatusCode Status, TimeSpan Took, DateTimeOffset? ServerTime, DateTimeOffset LocalTime, JsonObject? Body)
{
    public bool IsReady => Status == HttpStatusCode.OK;
}
