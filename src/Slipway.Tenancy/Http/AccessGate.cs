using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Slipway.Tenancy;

/// <summary>
/// Stands before every endpoint with an <see cref="AccessRule"/>: authenticates, takes from the rate limit, decides. Nothing of the body
/// is read before, so a refusal reaches the client while it still waits for <c>100 Continue</c>.
/// </summary>
internal sealed class AccessGate(RequestDelegate next, Authenticator authenticator, RateLimiter limiter)
{
    public async Task InvokeAsync(HttpContext http)
    {
        var endpoint = http.GetEndpoint();
        if (endpoint?.Metadata.GetMetadata<AccessRule>() is not { } rule)
        {
            // Routing's own answers (405, 415) are endpoints too, but not of a route.
            if (endpoint is RouteEndpoint && http.Request.Path.StartsWithSegments("/v1"))
            {
                throw new InvalidOperationException($"{endpoint.DisplayName} has no access rule; put one of Require… or AllowAnonymousAccess on it.");
            }

            await next(http);
            return;
        }

        var cancellationToken = http.RequestAborted;
        var caller = await authenticator.AuthenticateAsync(http, cancellationToken);
        http.SetCaller(caller);
        if (limiter.Take(http, caller) is { } tooMany)
        {
            await Problems.WriteAsync(http, tooMany, cancellationToken);
            return;
        }

        var decision = rule.Decide(caller, http);
        if (!decision.IsAllowed)
        {
            await Problems.WriteAsync(http, decision.ToException(), cancellationToken);
            return;
        }

        await next(http);
    }
}
