using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Stages;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Insight;

/// <summary>What builds asked of a cache: numbers, invocations, and why an action misses. From the stage visible on.</summary>
internal sealed class InsightEndpoints(Database database, BuildCacheDirectory caches, RequestLog log, ActionQuestion question, BuildCacheOptions options, TimeProvider time)
{
    private const string Tag = "Build insight";
    private const int MostListed = 20;
    private const int MostMisses = 1000;
    private const int DefaultHours = 24;
    private const int MostHours = 24 * 366;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.BuildCacheStats, (string org, string cache, int? hours, InsightEndpoints e, CancellationToken cancellationToken) => e.StatsAsync(org, cache, hours, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("showBuildCacheStats").WithTags(Tag).WithSummary("Show hits, misses, bytes and saved time of a build cache over the last hours (24 unless ?hours= says otherwise).").Produces<BuildCacheStats>();
        endpoints.MapGet(Routes.BuildInvocations, (string org, string cache, InsightEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(org, cache, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("listBuildInvocations").WithTags(Tag).WithSummary("List invocations of build tools, the latest first.").Produces<Page<BuildInvocation>>();
        endpoints.MapGet(Routes.BuildInvocation, (string org, string cache, string invocation, InsightEndpoints e, CancellationToken cancellationToken) => e.ShowAsync(org, cache, invocation, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("showBuildInvocation").WithTags(Tag).WithSummary("Show an invocation and what it missed.").Produces<BuildInvocationDetail>();
        endpoints.MapGet(Routes.BuildAction, (string org, string cache, string action, string? sub, InsightEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ExplainAsync(org, cache, action, sub, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("explainBuildAction").WithTags(Tag).WithSummary("Say why an action hits or misses, here or in the sub-namespace of ?sub=.").Produces<ActionExplanation>();
    }

    private async Task<IResult> StatsAsync(string org, string cacheName, int? hours, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName, "Statistics of build caches");
        var faults = new Faults();
        faults.Require(hours is null or (>= 1 and <= MostHours), "?hours", $"must be 1 to {MostHours}");
        faults.ThrowIfAny();
        await log.CatchUpAsync(cancellationToken);
        var now = time.GetUtcNow();
        var since = new DateTimeOffset(now.Ticks - (now.Ticks % TimeSpan.TicksPerHour), TimeSpan.Zero) - TimeSpan.FromHours((hours ?? DefaultHours) - 1);
        await using var connection = await database.OpenAsync(cancellationToken);
        return TypedResults.Ok(new BuildCacheStats(
            cache.FullName, since,
            await InsightQueries.TotalsAsync(connection, cache.Id, since, cancellationToken),
            await InsightQueries.UsersAsync(connection, cache.Id, since, MostListed, cancellationToken),
            await InsightQueries.TopMissesAsync(connection, cache.Id, since, MostListed, cancellationToken),
            await InsightQueries.InvocationsAsync(connection, cache, since, MostListed, 0, cancellationToken)));
    }

    private async Task<IResult> ListAsync(string org, string cacheName, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName, "Invocations");
        var page = PageToken.Read(http);
        await log.CatchUpAsync(cancellationToken);
        // By number: the latest are looked at, and one that moves up while somebody pages is worth no cursor of its own.
        var offset = page.After is { } after ? int.Parse(after, System.Globalization.CultureInfo.InvariantCulture) : 0;
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = await InsightQueries.InvocationsAsync(connection, cache, time.GetUtcNow() - options.InsightLifetime, page.Size + 1, offset, cancellationToken);
        return TypedResults.Ok(PageToken.Cut(http, page, rows, _ => (offset + page.Size).ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }

    private async Task<IResult> ShowAsync(string org, string cacheName, string invocation, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName, "Invocations");
        await log.CatchUpAsync(cancellationToken);
        await using var connection = await database.OpenAsync(cancellationToken);
        var found = await InsightQueries.InvocationAsync(connection, cache, invocation, cancellationToken) ?? throw ApiException.NotFound($"invocation {invocation} of {cache.FullName}");
        return TypedResults.Ok(new BuildInvocationDetail(found, await InsightQueries.MissesAsync(connection, cache.Id, invocation, null, null, MostMisses, cancellationToken)));
    }

    private async Task<IResult> ExplainAsync(string org, string cacheName, string action, string? sub, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName, "Explanations of misses");
        var digest = ActionQuestion.Parse(action);
        var access = caches.Find(http.GetCaller(), InsightQueries.NameOf(cache, sub ?? ""), BuildCacheRights.Read);
        return TypedResults.Ok(await question.AnswerAsync(access, digest, cancellationToken));
    }

    private BuildCacheSettings Find(string org, string cache, string what)
    {
        var found = caches.Find(org, cache) ?? throw ApiException.NotFound($"build cache {org}/{cache}");
        found.Stage.Require(OrgStage.Visible, org, what);
        return found;
    }
}
