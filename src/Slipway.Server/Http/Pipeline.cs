using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Slipway.Grpc;
using Slipway.BuildCache;
using Slipway.Server.Configuration;
using Slipway.Tenancy;

namespace Slipway.Server.Http;

/// <summary>
/// What stands between Kestrel and the routes.
/// </summary>
/// <remarks>
/// <code>
///            NixHosts ─┬─ ProblemAnswers ─┬─ RequestFrame ─┬─ routing ─ tenancy (only routes with an access rule) ─ handler
/// (host name → /nix/…) │                  └── /nix, /cache ┤
///                      └── gRPC: GrpcAnswers ──────────────┘
/// </code>
/// Requests under <c>/nix</c> and <c>/cache</c> are hot paths: no id, no scope, no access log, no rate limit; problems and nosniff they
/// do get. Calls of gRPC are another: of all this they only get statuses in the place of problems.
/// </remarks>
internal static class Pipeline
{
    private static readonly PathString Nix = "/nix";
    private static readonly PathString BuildCaches = BuildCacheOptions.HttpPrefix;

    /// <summary>Of a binary cache or a build cache: thousands of small requests for one command of a user.</summary>
    public static bool IsOfCache(HttpContext http) =>
        http.Request.Path.StartsWithSegments(Nix, StringComparison.Ordinal) || http.Request.Path.StartsWithSegments(BuildCaches, StringComparison.Ordinal);

    public static void UseSlipwayPipeline(this WebApplication app, ServerConfiguration configuration)
    {
        // Debug logging and traces want every request; otherwise what is asked of caches takes the short way.
        var framesEverything = configuration.Otlp.Endpoint is not null || app.Services.GetRequiredService<ILogger<RequestFrame>>().IsEnabled(LogLevel.Debug);
        if (configuration.Nix.Hosts.Count > 0)
        {
            app.UseMiddleware<NixHosts>(configuration.Nix);
        }

        app.UseGrpcAnswers();
        app.UseWhen(http => !GrpcAnswers.IsGrpc(http), answered => answered.UseMiddleware<ProblemAnswers>());
        app.UseWhen(http => framesEverything || !(IsOfCache(http) || GrpcAnswers.IsGrpc(http)), framed => framed.UseMiddleware<RequestFrame>());
        app.UseRouting();
        app.UseMiddleware<EndStreamsOnStop>();
        app.UseTenancy();
    }
}
