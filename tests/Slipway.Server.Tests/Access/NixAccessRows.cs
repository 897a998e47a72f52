using System.Net.Http.Headers;
using Slipway.Server.Tests.Nix;
using Slipway.Testing;

namespace Slipway.Server.Tests.Access;

/// <summary>The access table of stores and caches, and of the binary cache protocol. The paths are written out on purpose.</summary>
internal static class NixAccessRows
{
    //                                 anon strg view memb admn ownr supr key+ key- expd rvkd dsbl
    private const string Superuser = " 401  403  403  403  403  403  200  403  403  401  401  401";
    private const string ScrubBegun = "401  403  403  403  403  403  202  403  403  401  401  401";
    private const string StoreMade = " 401  403  403  403  403  403  201  403  403  401  401  401";
    private const string Viewer = "    401  404  200  200  200  200  404  200  403  401  401  401";
    private const string Pusher = "    401  404  403  200  200  200  404  200  403  401  401  401";
    private const string PusherMade = "401  404  403  201  201  201  404  201  403  401  401  401";
    private const string PusherGone = "401  404  403  204  204  204  404  204  403  401  401  401";
    private const string Deleter = "   401  404  403  403  204  204  404  204  403  401  401  401";
    private const string Manager = "   401  404  403  403  200  200  404  403  403  401  401  401";
    private const string Made = "      401  404  403  403  201  201  404  403  403  401  401  401";
    private const string Gone = "      401  404  403  403  204  204  404  403  403  401  401  401";

    private const string Cache = "/v1/orgs/acme/caches/main";
    private const string CacheRoute = "/v1/orgs/{org}/caches/{cache}";

    public static IReadOnlyList<AccessRow> V1 { get; } =
    [
        AccessRow.Of("GET", "/v1/stores", Superuser),
        new("POST", "/v1/stores", StoreMade, null, (world, _, _) => Task.FromResult(new PreparedCall("/v1/stores", $$"""{"name":"{{world.FreshName("store")}}"}"""))),
        AccessRow.Of("GET", "/v1/stores/{store}", Superuser, path: "/v1/stores/default"),
        AccessRow.Of("POST", "/v1/stores/{store}/fsck", Superuser, path: "/v1/stores/default/fsck"),
        AccessRow.Of("GET", "/v1/stores/{store}/stats", Superuser, path: "/v1/stores/default/stats"),
        AccessRow.Of("GET", "/v1/stores/{store}/scrub", Superuser, path: "/v1/stores/default/scrub"),
        AccessRow.Of("POST", "/v1/stores/{store}/scrub", ScrubBegun, path: "/v1/stores/default/scrub", body: "{}"),
        AccessRow.Of("POST", "/v1/stores/{store}/scrub/stop", Superuser, path: "/v1/stores/default/scrub/stop"),
        AccessRow.Of("POST", "/v1/stores/{store}/compaction", Superuser, path: "/v1/stores/default/compaction"),

        AccessRow.Of("GET", "/v1/orgs/{org}/caches", Viewer, "nix:query:acme"),
        new("POST", "/v1/orgs/{org}/caches", Made, null, (world, _, _) =>
            Task.FromResult(new PreparedCall("/v1/orgs/acme/caches", $$"""{"name":"{{world.FreshName("cache")}}"}"""))),
        AccessRow.Of("GET", CacheRoute, Viewer, "nix:query:acme/main", Cache),
        new("PATCH", CacheRoute, Manager, null, async (world, _, token) => new PreparedCall(Cache, """{"priority":50}""", await world.ETagAsync(Cache, world.OwnerToken, token))),
        new("DELETE", CacheRoute, Gone, null, async (world, _, token) => new PreparedCall(await FreshCacheAsync(world, token))),

        AccessRow.Of("GET", CacheRoute + "/signing-keys", Viewer, "nix:query:acme/main", Cache + "/signing-keys"),
        new("POST", CacheRoute + "/signing-keys", Made, null, async (world, _, token) => new PreparedCall(await FreshCacheAsync(world, token) + "/signing-keys")),
        new("DELETE", CacheRoute + "/signing-keys/{name}", Gone, null, async (world, _, token) =>
        {
            var keys = await FreshCacheAsync(world, token) + "/signing-keys";
            return new PreparedCall($"{keys}/{(await world.Client.JsonAsync("POST", keys, world.OwnerToken, null, token)).Text("name")}");
        }),

        AccessRow.Of("GET", CacheRoute + "/paths", Viewer, "nix:query:acme/main", Cache + "/paths"),
        new("GET", CacheRoute + "/paths/{hash}", Viewer, "nix:query:acme/main", PathAsync),
        new("DELETE", CacheRoute + "/paths/{hash}", Deleter, "nix:delete:acme/main", PathAsync),
        AccessRow.Of("POST", CacheRoute + "/missing-paths", Viewer, "nix:query:acme/main", Cache + "/missing-paths", """{"hashes":[]}"""),

        new("POST", CacheRoute + "/archives", PusherMade, "nix:push:acme/main", (world, _, _) =>
            Task.FromResult(new PreparedCall(Cache + "/archives", $$"""{"resumeKey":"{{world.FreshName("bundle")}}","paths":1}"""))),
        new("GET", CacheRoute + "/archives/{archive}", Pusher, "nix:push:acme/main", ArchiveAsync),
        new("PATCH", CacheRoute + "/archives/{archive}/content", PusherGone, "nix:push:acme/main", async (world, actor, token) =>
            new PreparedCall((await ArchiveAsync(world, actor, token)).Path + "/content") { Headers = [("Upload-Offset", "0")] }),
    ];

    /// <summary>Routes of the server itself. They take no credential and look at none.</summary>
    public static IReadOnlyList<AccessRow> Open { get; } =
    [
        .. ((string[])["/healthz", "/readyz", "/metrics"]).Select(path => AccessRow.Of("GET", path, "200 200 200 200 200 200 200 200 200 200 200 200")),
        AccessRow.Of("GET", "/openapi/{documentName}.json", "200 200 200 200 200 200 200 200 200 200 200 200", path: "/openapi/v1.json"),
    ];

    public static IReadOnlyList<AccessRow> Protocol { get; } =
    [
        .. Read("private", " 401  404  200  200  200  200  404  200  403  401  401  401"),
        .. Read("open", "    200  200  200  200  200  200  200  200  200  200  200  200"),
        .. Write("private", "401  404  403   {0}  {0}  {0}  404  {0}  403  401  401  401"),
        .. Write("open", "   401  403  403   {0}  {0}  {0}  403  {0}  403  401  401  401"),
        // What is not there looks to outsiders like what they may not see.
        Nix("GET", "/nix/acme/absent/nix-cache-info", "401 404 404 404 404 404 404 404 403 401 401 401", "nix:fetch:acme/*"),
        Nix("PUT", "/nix/acme/absent/nix-cache-info", "401 404 403 404 404 404 404 404 403 401 401 401", "nix:push:acme/*"),
        Nix("GET", "/nix/nowhere/absent/nix-cache-info", "401 404 404 404 404 404 404 404 404 401 401 401", "nix:fetch:acme/*"),
        Nix("POST", "/nix/acme/private/nix-cache-info", "405 405 405 405 405 405 405 405 405 405 405 405", "nix:push:acme/*"),
        Nix("DELETE", "/nix/acme/open/nix-cache-info", "405 405 405 405 405 405 405 405 405 405 405 405", "nix:push:acme/*"),
    ];

    private static IEnumerable<AccessRow> Read(string cache, string expected) =>
        from method in (string[])["GET", "HEAD"]
        from file in (string[])["nix-cache-info", "{path}.narinfo", "{path}.ls", "nar/{nar}"]
        select Nix(method, $"/nix/acme/{cache}/{file}", expected, $"nix:fetch:acme/{cache}");

    // The bodies are junk: whoever is let in gets 400, or 200 where the server does not read it.
    private static IEnumerable<AccessRow> Write(string cache, string expected) =>
        from file in ((string, int)[])[("nix-cache-info", 200), ("00000000000000000000000000000000.narinfo", 400), ("nar/0000000000000000000000000000000000000000000000000000.nar.zst", 400)]
        select Nix("PUT", $"/nix/acme/{cache}/{file.Item1}", string.Format(System.Globalization.CultureInfo.InvariantCulture, expected, file.Item2), $"nix:push:acme/{cache}");

    private static AccessRow Nix(string method, string path, string expected, string scope) =>
        new(method, path, expected, scope, (world, _, _) => Task.FromResult(new PreparedCall(
            path.Replace("{path}", Pushed.Hash, StringComparison.Ordinal).Replace("{nar}", Pushed.Nar.Url[4..], StringComparison.Ordinal),
            method is "GET" or "HEAD" ? null : "junk")));

    /// <summary>In both caches of <see cref="SetUpAsync"/>.</summary>
    private static TestPath Pushed { get; } = TestPath.Fresh();

    public static async Task SetUpAsync(AccessWorld world, CancellationToken cancellationToken)
    {
        foreach (var (name, isPublic) in ((string, string)[])[("main", "false"), ("private", "false"), ("open", "true")])
        {
            await world.Client.JsonAsync("POST", "/v1/orgs/acme/caches", world.OwnerToken, $$"""{"name":"{{name}}","public":{{isPublic}}}""", cancellationToken);
            await PushAsync(world, name, Pushed, cancellationToken);
        }
    }

    private static async Task<string> FreshCacheAsync(AccessWorld world, CancellationToken cancellationToken)
    {
        var name = world.FreshName("cache");
        await world.Client.JsonAsync("POST", "/v1/orgs/acme/caches", world.OwnerToken, $$"""{"name":"{{name}}"}""", cancellationToken);
        return "/v1/orgs/acme/caches/" + name;
    }

    private static async Task<PreparedCall> PathAsync(AccessWorld world, Actor actor, CancellationToken cancellationToken)
    {
        var path = TestPath.Fresh();
        await PushAsync(world, "main", path, cancellationToken);
        return new PreparedCall($"{Cache}/paths/{path.Hash}");
    }

    /// <summary>An archive is seen by who opened it only, so the actor opens it, where they may.</summary>
    private static async Task<PreparedCall> ArchiveAsync(AccessWorld world, Actor actor, CancellationToken cancellationToken)
    {
        var opener = actor is Actor.Member or Actor.Admin ? await world.TokenAsync(actor, null, cancellationToken) : world.OwnerToken;
        var opened = await world.Client.JsonAsync("POST", Cache + "/archives", opener, $$"""{"resumeKey":"{{world.FreshName("bundle")}}","paths":1}""", cancellationToken);
        return new PreparedCall($"{Cache}/archives/{opened.Text("id")}");
    }

    private static async Task PushAsync(AccessWorld world, string cache, TestPath path, CancellationToken cancellationToken)
    {
        foreach (var (file, body) in ((string, byte[])[])[(path.Nar.Url, path.Nar.Bytes), (path.Hash + ".narinfo", System.Text.Encoding.ASCII.GetBytes(path.NarInfo()))])
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, $"/nix/acme/{cache}/{file}") { Content = new ByteArrayContent(body) };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", world.OwnerToken);
            (await world.Client.SendAsync(request, cancellationToken)).EnsureSuccessStatusCode();
        }
    }
}
