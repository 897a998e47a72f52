using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.Extensions.Hosting;

namespace Slipway.Server.Http;

/// <summary>
/// Ends event streams when the server begins to stop. They never finish by themselves, and a drain would wait its whole patience for
/// each; their clients come back with <c>Last-Event-ID</c> and miss nothing.
/// </summary>
internal sealed class EndStreamsOnStop(RequestDelegate next, IHostApplicationLifetime lifetime)
{
    public Task InvokeAsync(HttpContext http) =>
        http.GetEndpoint()?.Metadata.GetMetadata<IProducesResponseTypeMetadata>() is { } produces && produces.ContentTypes.Contains("text/event-stream")
            ? StreamAsync(http)
            : next(http);

    private async Task StreamAsync(HttpContext http)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, lifetime.ApplicationStopping);
        http.RequestAborted = either.Token;
        await next(http);
    }
}
