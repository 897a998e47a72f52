using Slipway.Testing;

namespace Slipway.Server.Tests.Access;

/// <summary>The access table of build caches. The paths are written out on purpose.</summary>
internal static class BuildCacheAccessRows
{
    //                                  anon strg view memb admn ownr supr key+ key- expd rvkd dsbl
    private const string Reader = "     401  404  200  200  200  200  404  200  403  401  401  401";
    private const string Unknown = "    401  404  404  404  404  404  404  404  403  401  401  401";
    private const string Writer = "     401  404  403  200  200  200  404  200  403  401  401  401";
    private const string Manager = "    401  404  403  403  200  200  404  403  403  401  401  401";
    private const string ManagerMade = "401  404  403  403  201  201  404  403  403  401  401  401";
    private const string ManagerGone = "401  404  403  403  204  204  404  403  403  401  401  401";
    private const string Superuser = "  401  403  403  403  403  403  200  403  403  401  401  401";

    private const string Empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// <summary>The SHA-256 of "1".</summary>
    private const string Digit = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";

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

        AccessRow.Of("GET", Route + "/stats", Reader, Read, Cache + "/stats"),
        AccessRow.Of("GET", Route + "/invocations", Reader, Read, Cache + "/invocations"),
        AccessRow.Of("GET", Route + "/invocations/{invocation}", Unknown, Read, Cache + "/invocations/none"),
        AccessRow.Of("GET", Route + "/actions/{action}", Reader, Read, $"{Cache}/actions/{Empty}"),
        AccessRow.Of("GET", Route + "/blobs/{digest}", Reader, Read, $"{Cache}/blobs/{Empty}"),
        AccessRow.Of("GET", Route + "/blobs/{digest}/stat", Reader, Read, $"{Cache}/blobs/{Empty}/stat"),
        AccessRow.Of("PUT", Route + "/blobs/{digest}", Writer, "buildcache:write:acme/builds", $"{Cache}/blobs/{Digit}", "1"),

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
