using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Slipway.Testing;

/// <summary>The access table of identity's own routes. The paths are written out: that they stay as they are is part of the test.</summary>
public static class TenancyAccessRows
{
    private const string Key = """{"name":"k","scopes":["org:read:acme"]}""";

    //                                  anon strg view memb admn ownr supr key+ key- expd rvkd dsbl
    private const string SessionOnly = " 401  200  200  200  200  200  200  403  403  401  401  401";
    private const string SessionMade = " 401  201  201  201  201  201  201  403  403  401  401  401";
    private const string SessionGone = " 401  204  204  204  204  204  204  403  403  401  401  401";
    private const string SignedIn = "    401  200  200  200  200  200  200  200  200  401  401  401";
    private const string Superuser = "   401  403  403  403  403  403  200  403  403  401  401  401";
    private const string OrgViewer = "   401  404  200  200  200  200  404  200  403  401  401  401";
    private const string OrgMember = "   401  404  403  200  200  200  404  200  403  401  401  401";
    private const string OrgAdmin = "    401  404  403  403  200  200  404  403  403  401  401  401";
    private const string AdminMade = "   401  404  403  403  201  201  404  403  403  401  401  401";
    private const string AdminGone = "   401  404  403  403  204  204  404  403  403  401  401  401";

    public static IReadOnlyList<AccessRow> All { get; } =
    [
        AccessRow.Of("POST", "/v1/sessions", "201 201 201 201 201 201 201 201 201 401 401 401", body: $$"""{"name":"olga","password":"{{AccessWorld.Password}}"}"""),
        AccessRow.Of("GET", "/v1/sessions", SessionOnly),
        AccessRow.Of("GET", "/v1/sessions/current", SessionOnly),
        new("DELETE", "/v1/sessions/current", SessionGone, null, async (world, actor, token) =>
            new PreparedCall("/v1/sessions/current", Token: AccessWorld.HasSession(actor) ? await world.SignInAsync(AccessWorld.NameOf(actor), token) : null)),
        new("GET", "/v1/sessions/{session}", SessionOnly, null, OwnSessionAsync),
        new("DELETE", "/v1/sessions/{session}", SessionGone, null, OwnSessionAsync),
        AccessRow.Of("GET", "/v1/whoami", SignedIn),
        AccessRow.Of("PUT", "/v1/whoami/password", SessionGone, body: $$"""{"currentPassword":"{{AccessWorld.Password}}","newPassword":"{{AccessWorld.Password}}"}"""),

        AccessRow.Of("GET", "/v1/users", Superuser),
        new("POST", "/v1/users", "401 403 403 403 403 403 201 403 403 401 401 401", null, (world, _, _) =>
            Task.FromResult(new PreparedCall("/v1/users", $$"""{"name":"{{world.FreshName("new")}}","password":"{{AccessWorld.Password}}"}"""))),
        AccessRow.Of("GET", "/v1/users/{user}", Superuser, path: "/v1/users/olga"),
        new("PATCH", "/v1/users/{user}", Superuser, null, async (world, _, token) =>
            new PreparedCall("/v1/users/stranger", "{}", await world.ETagAsync("/v1/users/stranger", world.SuperuserToken, token))),

        AccessRow.Of("GET", "/v1/scopes", SignedIn),
        AccessRow.Of("GET", "/v1/keys", SessionOnly),
        AccessRow.Of("POST", "/v1/keys", SessionMade, body: Key),
        new("GET", "/v1/keys/{key}", SessionOnly, null, OwnKeyAsync),
        new("DELETE", "/v1/keys/{key}", SessionGone, null, OwnKeyAsync),
        new("POST", "/v1/keys/{key}/certificate", SessionMade, null, async (world, actor, token) =>
            new PreparedCall((await OwnKeyAsync(world, actor, token)).Path + "/certificate", SigningRequest)),

        AccessRow.Of("GET", "/v1/orgs", SignedIn),
        new("POST", "/v1/orgs", SessionMade, null, (world, _, _) => Task.FromResult(new PreparedCall("/v1/orgs", $$"""{"name":"{{world.FreshName("org")}}"}"""))),
        AccessRow.Of("GET", "/v1/orgs/{org}", OrgViewer, "org:read:acme"),
        new("PATCH", "/v1/orgs/{org}", OrgAdmin, null, async (world, _, token) =>
            new PreparedCall("/v1/orgs/acme", """{"displayName":"Acme"}""", await world.ETagAsync("/v1/orgs/acme", world.OwnerToken, token))),

        AccessRow.Of("GET", "/v1/orgs/{org}/members", OrgViewer, "org:read:acme"),
        AccessRow.Of("GET", "/v1/orgs/{org}/members/{user}", OrgViewer, "org:read:acme", "/v1/orgs/acme/members/mia"),
        new("PUT", "/v1/orgs/{org}/members/{user}", AdminMade, null, async (world, _, token) =>
        {
            var user = world.FreshName("joining");
            await world.AddUserAsync(user, false, token);
            return new PreparedCall("/v1/orgs/acme/members/" + user, """{"role":"member"}""");
        }),
        new("DELETE", "/v1/orgs/{org}/members/{user}", AdminGone, null, async (world, _, token) =>
            new PreparedCall("/v1/orgs/acme/members/" + await world.AddMemberAsync("member", token))),

        AccessRow.Of("GET", "/v1/orgs/{org}/service-accounts", OrgViewer, "org:read:acme"),
        new("POST", "/v1/orgs/{org}/service-accounts", AdminMade, null, (world, _, _) =>
            Task.FromResult(new PreparedCall("/v1/orgs/acme/service-accounts", $$"""{"name":"{{world.FreshName("robot")}}","role":"member"}"""))),
        new("GET", "/v1/orgs/{org}/service-accounts/{account}", OrgViewer, "org:read:acme", AccountAsync),
        new("DELETE", "/v1/orgs/{org}/service-accounts/{account}", AdminGone, null, AccountAsync),
        new("GET", "/v1/orgs/{org}/service-accounts/{account}/keys", OrgAdmin, null, async (world, actor, token) =>
            new PreparedCall((await AccountAsync(world, actor, token)).Path + "/keys")),
        new("POST", "/v1/orgs/{org}/service-accounts/{account}/keys", AdminMade, null, async (world, actor, token) =>
            new PreparedCall((await AccountAsync(world, actor, token)).Path + "/keys", Key)),
        new("GET", "/v1/orgs/{org}/service-accounts/{account}/keys/{key}", OrgAdmin, null, AccountKeyAsync),
        new("DELETE", "/v1/orgs/{org}/service-accounts/{account}/keys/{key}", AdminGone, null, AccountKeyAsync),
        new("POST", "/v1/orgs/{org}/service-accounts/{account}/keys/{key}/certificate", AdminMade, null, async (world, actor, token) =>
            new PreparedCall((await AccountKeyAsync(world, actor, token)).Path + "/certificate", SigningRequest)),

        AccessRow.Of("GET", "/v1/orgs/{org}/events", OrgMember, "events:read:acme"),
        AccessRow.Of("GET", "/v1/orgs/{org}/events/stream", OrgMember, "events:read:acme"),
        AccessRow.Of("GET", "/v1/orgs/{org}/audit/verification", OrgMember, "events:read:acme"),
        AccessRow.Of("GET", "/v1/events", Superuser),
        AccessRow.Of("GET", "/v1/audit/verification", Superuser),
    ];

    private static string SigningRequest
    {
        get
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var pem = new CertificateRequest("CN=anything", key, HashAlgorithmName.SHA256).CreateSigningRequestPem();
            return $$"""{"signingRequest":"{{pem.ReplaceLineEndings("\\n")}}"}""";
        }
    }

    private static async Task<PreparedCall> OwnSessionAsync(AccessWorld world, Actor actor, CancellationToken cancellationToken)
    {
        var signedIn = await world.Client.JsonAsync(
            "POST", "/v1/sessions", null, $$"""{"name":"{{AccessWorld.NameOf(actor)}}","password":"{{AccessWorld.Password}}"}""", cancellationToken);
        return new PreparedCall("/v1/sessions/" + signedIn["session"]!.Text("id"));
    }

    private static async Task<PreparedCall> OwnKeyAsync(AccessWorld world, Actor actor, CancellationToken cancellationToken)
    {
        var holder = AccessWorld.HasSession(actor) ? await world.TokenAsync(actor, null, cancellationToken) : world.OwnerToken;
        var issued = await world.Client.JsonAsync("POST", "/v1/keys", holder, Key, cancellationToken);
        return new PreparedCall("/v1/keys/" + issued["key"]!.Text("id"));
    }

    private static async Task<PreparedCall> AccountAsync(AccessWorld world, Actor actor, CancellationToken cancellationToken)
    {
        var name = world.FreshName("machine");
        await world.Client.JsonAsync(
            "POST", "/v1/orgs/acme/service-accounts", world.OwnerToken, $$"""{"name":"{{name}}","role":"member"}""", cancellationToken);
        return new PreparedCall("/v1/orgs/acme/service-accounts/" + name);
    }

    private static async Task<PreparedCall> AccountKeyAsync(AccessWorld world, Actor actor, CancellationToken cancellationToken)
    {
        var keys = (await AccountAsync(world, actor, cancellationToken)).Path + "/keys";
        var issued = await world.Client.JsonAsync("POST", keys, world.OwnerToken, Key, cancellationToken);
        return new PreparedCall(keys + "/" + issued["key"]!.Text("id"));
    }
}
