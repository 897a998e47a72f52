using Slipway.Testing;

namespace Slipway.Server.Tests.Access;

/// <summary>The access table of build caches. The paths are written out on purpose.</summary>
internal static class BuildCacheAccessRows
{
    //                                  anon strg view memb admn ownr supr key+ key- expd rvkd dsbl
    private const string Reader = "     401  404  200  200  200  200  404  200  403  401  401  401";
    private const string Manager = "    401  404  403  403  200  200  404  403  403  401  401  401";
    private const string ManagerMade = "401  404  403  403  201  201  404  403  403  401  401  401";
    private const string ManagerGone = "401  404  403  403  204  204  404  403  403  401  401  401";
    private const string Superuser = "  401  403  403  403  403  403  200  403  403  401  401  401";

    private const string Read = "buildcache:read:acme/builds";
    private const string Cache = "/v1/orgs/acme/build-caches/builds";
    private const string Route = "/v1/orgs/{org}/build-caches/{cache}";

    public static IReadOnlyList<AccessRow> All { get; } =
    [
        AccessRow.Of("GET", "/v1/orgs/{org}/build-caches", Reader, "buildcache:read:acme"),
        new("POST", "/v1/orgs/{org}/build-caches", ManagerMade, null, (world, _, _) =>
            Task.FromResult(new PreparedCall("/v1/orgs/acme/build-caches", $$"""{"name":"{{world.FreshName("bc")}}"}"""))),
        AccessRow.Of("GET", Route, Reader, Read, Cache),
        new("PATCH", Route, Manager, null, async (world, _, token) => new PreparedCall(Cache, """{"retentionDays":30}""", await world.ETagAsync(Cache, world.OwnerToken, token))),
        new("DELETE", Route, ManagerGone, null, async (world, _, token) => new PreparedCall(await FreshCacheAsync(world, token))),

        AccessRow.Of("GET", "/v1/build-stages", Superuser),
        AccessRow.Of("GET", "/v1/orgs/{org}/build-stage", Reader, "buildcache:read:acme"),
        AccessRow.Of("PUT", "/v1/orgs/{org}/build-stage", Superuser, body: """{"stage":"beta"}"""),
    ];

    public static Task SetUpAsync(AccessWorld world, CancellationToken cancellationToken) =>
        world.Client.JsonAsync("POST", "/v1/orgs/acme/build-caches", world.OwnerToken, """{"name":"builds"}""", cancellationToken);

    private static async Task<string> FreshCacheAsync(AccessWorld world, CancellationToken cancellationToken)
    {
        var name = world.FreshName("bc");
        await world.Client.JsonAsync("POST", "/v1/orgs/acme/build-caches", world.OwnerToken, $$"""{"name":"{{name}}"}""", cancellationToken);
        return "/v1/orgs/acme/build-caches/" + name;
    }
}
