using System.Collections.Concurrent;
using System.Globalization;
using Npgsql;

namespace Slipway.Testing;

/// <summary>Who makes a call in an access table. The order is that of the columns.</summary>
public enum Actor
{
    Anonymous,

    /// <summary>A user of another org only.</summary>
    Stranger,
    Viewer,
    Member,
    Admin,
    Owner,

    /// <summary>A superuser who is in no org.</summary>
    Superuser,

    /// <summary>An owner's key with the scope the route takes; with every scope when it takes none.</summary>
    KeyWithScope,

    /// <summary>An owner's key with the scope of something else.</summary>
    KeyWithoutScope,
    ExpiredKey,
    RevokedKey,

    /// <summary>A key of an owner whose account is disabled.</summary>
    DisabledUsersKey,
}

/// <summary>
/// The org <c>acme</c> with somebody of each role, and one credential for every <see cref="Actor"/>, made through the API of a running
/// server. Only the expired key needs the database: nobody can wait 90 days.
/// </summary>
public sealed class AccessWorld
{
    public const string Org = "acme";
    public const string Password = "long enough, and odd: 7%kumquat";
    private readonly Dictionary<Actor, string?> tokens = [];
    private readonly ConcurrentDictionary<string, string> scoped = new(StringComparer.Ordinal);
    private int count;

    private AccessWorld(HttpClient client, string superuserToken)
    {
        Client = client;
        SuperuserToken = superuserToken;
    }

    public HttpClient Client { get; }

    public string SuperuserToken { get; }

    public string OwnerToken => tokens[Actor.Owner]!;

    public static string NameOf(Actor actor) => actor switch
    {
        Actor.Stranger => "stranger",
        Actor.Viewer => "vera",
        Actor.Member => "mia",
        Actor.Admin => "adam",
        Actor.Superuser => "suse",
        _ => "olga",
    };

    public static bool HasSession(Actor actor) => actor is >= Actor.Stranger and <= Actor.Superuser;

    public static async Task<AccessWorld> CreateAsync(HttpClient client, string superuserToken, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var world = new AccessWorld(client, superuserToken);
        world.tokens[Actor.Anonymous] = null;
        foreach (var actor in (Actor[])[Actor.Owner, Actor.Stranger, Actor.Viewer, Actor.Member, Actor.Admin, Actor.Superuser])
        {
            await world.AddUserAsync(NameOf(actor), actor == Actor.Superuser, cancellationToken);
            world.tokens[actor] = await world.SignInAsync(NameOf(actor), cancellationToken);
        }

        await client.JsonAsync("POST", "/v1/orgs", world.OwnerToken, $$"""{"name":"{{Org}}"}""", cancellationToken);
        await client.JsonAsync("POST", "/v1/orgs", world.tokens[Actor.Stranger], """{"name":"elsewhere"}""", cancellationToken);
        await world.AddUserAsync("dora", false, cancellationToken);
        foreach (var (user, role) in ((string, string)[])[("vera", "viewer"), ("mia", "member"), ("adam", "admin"), ("dora", "owner")])
        {
            await world.SetRoleAsync(user, role, cancellationToken);
        }

        world.tokens[Actor.KeyWithoutScope] = await world.IssueAsync(world.OwnerToken, ["org:read:elsewhere"], cancellationToken);
        string[] all = ["org:read:*", "events:read:*"];
        world.tokens[Actor.ExpiredKey] = await world.IssueAsync(world.OwnerToken, all, cancellationToken);
        await using (var expire = database.CreateCommand("update api_key set expires_at = created_at where token_id = $1"))
        {
            expire.Parameters.Add(new NpgsqlParameter { Value = world.tokens[Actor.ExpiredKey]![6..22] });
            if (await expire.ExecuteNonQueryAsync(cancellationToken) != 1)
            {
                throw new InvalidOperationException("The key to expire is not in the database.");
            }
        }

        var revoked = await client.JsonAsync("POST", "/v1/keys", world.OwnerToken, KeyBody(all), cancellationToken);
        world.tokens[Actor.RevokedKey] = revoked.Text("secret");
        (await client.CallAsync("DELETE", "/v1/keys/" + revoked["key"]!.Text("id"), world.OwnerToken, null, cancellationToken)).EnsureSuccessStatusCode();

        var dora = await world.SignInAsync("dora", cancellationToken);
        world.tokens[Actor.DisabledUsersKey] = await world.IssueAsync(dora, all, cancellationToken);
        await world.DisableAsync("dora", cancellationToken);
        return world;
    }

    /// <summary>A name nobody has yet.</summary>
    public string FreshName(string start) => string.Create(CultureInfo.InvariantCulture, $"{start}-{Interlocked.Increment(ref count)}");

    /// <summary>The actor's usual credential. A key with scope gets the one of the route.</summary>
    public async Task<string?> TokenAsync(Actor actor, string? scope, CancellationToken cancellationToken)
    {
        if (actor != Actor.KeyWithScope)
        {
            return tokens[actor];
        }

        var wanted = scope ?? "org:read:*";
        if (!scoped.TryGetValue(wanted, out var token))
        {
            token = await IssueAsync(OwnerToken, [wanted], cancellationToken);
            scoped[wanted] = token;
        }

        return token;
    }

    public async Task AddUserAsync(string name, bool superuser, CancellationToken cancellationToken) =>
        await Client.JsonAsync(
            "POST",
            "/v1/users",
            SuperuserToken,
            $$"""{"name":"{{name}}","password":"{{Password}}","superuser":{{(superuser ? "true" : "false")}}}""",
            cancellationToken);

    public async Task<string> SignInAsync(string name, CancellationToken cancellationToken) =>
        (await Client.JsonAsync("POST", "/v1/sessions", null, $$"""{"name":"{{name}}","password":"{{Password}}"}""", cancellationToken)).Text("token");

    public async Task<string> IssueAsync(string session, string[] scopes, CancellationToken cancellationToken) =>
        (await Client.JsonAsync("POST", "/v1/keys", session, KeyBody(scopes), cancellationToken)).Text("secret");

    public async Task<string> ETagAsync(string path, string token, CancellationToken cancellationToken)
    {
        using var response = await Client.CallAsync("GET", path, token, null, cancellationToken);
        return response.EnsureSuccessStatusCode().Headers.ETag!.ToString();
    }

    public async Task DisableAsync(string user, CancellationToken cancellationToken) =>
        await Client.JsonAsync(
            "PATCH",
            "/v1/users/" + user,
            SuperuserToken,
            """{"status":"disabled"}""",
            cancellationToken,
            ("If-Match", await ETagAsync("/v1/users/" + user, SuperuserToken, cancellationToken)));

    /// <summary>Adds somebody fresh to <c>acme</c>.</summary>
    public async Task<string> AddMemberAsync(string role, CancellationToken cancellationToken)
    {
        var name = FreshName("someone");
        await AddUserAsync(name, false, cancellationToken);
        await SetRoleAsync(name, role, cancellationToken);
        return name;
    }

    public async Task SetRoleAsync(string user, string role, CancellationToken cancellationToken) =>
        await Client.JsonAsync("PUT", $"/v1/orgs/{Org}/members/{user}", OwnerToken, $$"""{"role":"{{role}}"}""", cancellationToken);

    public static string KeyBody(params string[] scopes) =>
        $$"""{"name":"a key","scopes":[{{string.Join(',', scopes.Select(scope => $"\"{scope}\""))}}]}""";
}
