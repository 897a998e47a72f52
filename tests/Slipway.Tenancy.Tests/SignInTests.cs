using Dapper;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class SignInTests
{
    private static CancellationToken Cancelled => TenancyHost.Cancelled;

    [Theory]
    [InlineData("olga")]
    [InlineData("nobody-of-that-name")]
    public async Task Guessing_gets_slower_alike_for_known_and_unknown_users(string name)
    {
        await using var host = await TenancyHost.StartAsync();
        await AddOlgaAsync(host);
        for (var i = 0; i < 5; i++)
        {
            (await TryAsync(host, name, "wrong")).Status.ShouldBe(401);
        }

        // The fifth failure costs 1 s, and each further one twice as much.
        foreach (var wait in (int[])[1, 2, 4])
        {
            var blocked = await TryAsync(host, name, "wrong");
            blocked.Status.ShouldBe(429);
            blocked.RetryAfter.ShouldBe(wait);
            host.Time.Advance(TimeSpan.FromSeconds(wait));
            (await TryAsync(host, name, "wrong")).Status.ShouldBe(401);
        }
    }

    [Fact]
    public async Task The_wait_stays_bounded_and_the_right_password_ends_it()
    {
        await using var host = await TenancyHost.StartAsync();
        await AddOlgaAsync(host);
        for (var i = 0; i < 18; i++)
        {
            (await TryAsync(host, "olga", "wrong")).Status.ShouldBe(401);
            host.Time.Advance(TimeSpan.FromMinutes(5));
        }

        (await TryAsync(host, "olga", AccessWorld.Password)).Status.ShouldBe(201);
        (await TryAsync(host, "olga", "wrong")).Status.ShouldBe(401);
        (await TryAsync(host, "olga", AccessWorld.Password)).Status.ShouldBe(201);
    }

    [Fact]
    public async Task A_network_that_guesses_many_names_is_slowed_down_too()
    {
        await using var host = await TenancyHost.StartAsync();
        for (var i = 0; i < 20; i++)
        {
            (await TryAsync(host, $"name-{i}", "wrong")).Status.ShouldBe(401);
        }

        (await TryAsync(host, "name-20", "wrong")).Status.ShouldBe(429);
    }

    [Fact]
    public async Task Refusals_are_events_and_keep_what_may_be_a_password_out()
    {
        await using var host = await TenancyHost.StartAsync();
        await AddOlgaAsync(host);
        await TryAsync(host, "olga", "wrong");
        await TryAsync(host, "My Secret Password!", "wrong");
        var events = (await host.Client.JsonAsync("GET", "/v1/events?action=session.refused", host.AdminToken, null, Cancelled))["items"]!.AsArray();
        events.Select(one => one!["target"]!.Text("name")).ShouldBe(["", "olga"]);
        events[1]!["actor"]!.Text("type").ShouldBe("anonymous");
        events[1]!.Text("ip").ShouldBe("127.0.0.1");
    }

    [Fact]
    public async Task An_old_hash_is_replaced_at_the_next_sign_in()
    {
        await using var host = await TenancyHost.StartAsync();
        await AddOlgaAsync(host);
        await using var stronger = await TenancyHost.StartAsync(beside: host, iterations: 2000);
        (await TryAsync(stronger, "olga", AccessWorld.Password)).Status.ShouldBe(201);
        await using var connection = await host.Database.Database.OpenAsync(Cancelled);
        (await connection.QuerySingleAsync<string>("select password_hash from user_account where name = 'olga'")).ShouldStartWith("pbkdf2-sha512$2000$");
        (await TryAsync(stronger, "olga", AccessWorld.Password)).Status.ShouldBe(201);
    }

    [Fact]
    public void The_iterations_are_those_of_the_recommendation() =>
        new PasswordHasher(new TenancyOptions { DataFolder = "/" }).Hash("x").ShouldStartWith("pbkdf2-sha512$210000$");

    [Fact]
    public async Task Too_many_hashes_at_once_are_refused()
    {
        var hasher = new PasswordHasher(new TenancyOptions { DataFolder = "/", PasswordIterations = 1 });
        var most = Math.Max(1, Environment.ProcessorCount / 2) * 9;
        var held = new List<Task<IDisposable>>();
        for (var i = 0; i < most; i++)
        {
            held.Add(hasher.EnterAsync(Cancelled));
        }

        held.Count(task => task.IsCompleted).ShouldBe(Math.Max(1, Environment.ProcessorCount / 2));
        (await Should.ThrowAsync<ApiException>(async () => await hasher.EnterAsync(Cancelled))).Status.ShouldBe(429);
        for (var i = 0; i < most; i++)
        {
            (await held[i]).Dispose();
        }

        (await hasher.EnterAsync(Cancelled)).Dispose();
    }

    [Fact]
    public async Task Sessions_are_listed_and_ended_one_by_one()
    {
        await using var host = await TenancyHost.StartAsync();
        await AddOlgaAsync(host);
        var first = (await SignInAsync(host)).Text("token");
        var second = await SignInAsync(host);
        var list = (await host.Client.JsonAsync("GET", "/v1/sessions", first, null, Cancelled))["items"]!.AsArray();
        list.Count.ShouldBe(2);
        list.Count(session => session!["current"]!.GetValue<bool>()).ShouldBe(1);
        (await host.Client.CallAsync("DELETE", "/v1/sessions/" + second["session"]!.Text("id"), first, null, Cancelled)).EnsureSuccessStatusCode();
        (await StatusAsync(host, second.Text("token"))).ShouldBe(401);
        (await StatusAsync(host, first)).ShouldBe(200);
        // Somebody else's session is not there.
        ((int)(await host.Client.CallAsync("DELETE", "/v1/sessions/" + list[0]!.Text("id"), host.AdminToken, null, Cancelled)).StatusCode).ShouldBe(404);
    }

    [Fact]
    public async Task A_new_password_ends_the_other_sessions()
    {
        await using var host = await TenancyHost.StartAsync();
        await AddOlgaAsync(host);
        var mine = (await SignInAsync(host)).Text("token");
        var stolen = (await SignInAsync(host)).Text("token");
        const string next = "a quite different 42 walnuts";
        ((int)(await host.Client.CallAsync("PUT", "/v1/whoami/password", stolen, $$"""{"currentPassword":"guess","newPassword":"{{next}}"}""", Cancelled)).StatusCode).ShouldBe(403);
        (await host.Client.CallAsync("PUT", "/v1/whoami/password", mine, $$"""{"currentPassword":"{{AccessWorld.Password}}","newPassword":"{{next}}"}""", Cancelled)).EnsureSuccessStatusCode();
        (await StatusAsync(host, stolen)).ShouldBe(401);
        (await StatusAsync(host, mine)).ShouldBe(200);
        (await TryAsync(host, "olga", AccessWorld.Password)).Status.ShouldBe(401);
        (await TryAsync(host, "olga", next)).Status.ShouldBe(201);
    }

    [Fact]
    public async Task A_disabled_user_is_out_at_once_and_their_sessions_for_good()
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        var session = (await world.TokenAsync(Actor.Member, null, Cancelled))!;
        var key = await world.IssueAsync(session, ["org:read:acme"], Cancelled);
        await world.DisableAsync("mia", Cancelled);
        (await StatusAsync(host, session)).ShouldBe(401);
        (await StatusAsync(host, key)).ShouldBe(401);
        (await TryAsync(host, "mia", AccessWorld.Password)).Status.ShouldBe(401);
        await host.Client.JsonAsync("PATCH", "/v1/users/mia", host.AdminToken, """{"status":"active"}""", Cancelled, ("If-Match", "*"));
        (await StatusAsync(host, session)).ShouldBe(401);
        (await StatusAsync(host, key)).ShouldBe(200);
    }

    [Fact]
    public async Task The_last_superuser_stays()
    {
        await using var host = await TenancyHost.StartAsync();
        foreach (var body in (string[])["""{"superuser":false}""", """{"status":"disabled"}"""])
        {
            using var response = await host.Client.CallAsync("PATCH", "/v1/users/admin", host.AdminToken, body, Cancelled, ("If-Match", "*"));
            ((int)response.StatusCode).ShouldBe(409);
        }
    }

    [Theory]
    [InlineData("elevenchars", "must have")]
    [InlineData("password12345", "tried first")]
    [InlineData("P@ssw0rdP@ssw0rd", "tried first")]
    [InlineData("aaaaaaaaaaaaaa", "tried first")]
    [InlineData("abcabcabcabc", "tried first")]
    [InlineData("123456789012", "tried first")]
    [InlineData("qwertyuiopasdf", "tried first")]
    [InlineData("correcthorsebatterystaple", "tried first")]
    [InlineData("my name is OLGA, no?", "user name")]
    public void Weak_passwords_are_refused(string password, string reason) =>
        PasswordRules.FaultOf(password, "olga").ShouldNotBeNull().ShouldContain(reason);

    [Theory]
    [InlineData("ein langer Satz mit Umlauten äöü")]
    [InlineData("8274 1093 5561 7720")]
    [InlineData("kumquat-lantern-42")]
    public void Good_passwords_are_taken(string password) => PasswordRules.FaultOf(password, "olga").ShouldBeNull();

    [Fact]
    public void Passwords_may_have_256_characters_and_no_more()
    {
        var text = string.Concat(Enumerable.Range(0, 128).Select(i => (char)('a' + (i * 7 % 26)) + (i % 10).ToString(System.Globalization.CultureInfo.InvariantCulture)));
        PasswordRules.FaultOf(text, "olga").ShouldBeNull();
        PasswordRules.FaultOf(text + "x", "olga").ShouldNotBeNull();
    }

    private static Task AddOlgaAsync(TenancyHost host) => host.Client.JsonAsync(
        "POST", "/v1/users", host.AdminToken, $$"""{"name":"olga","password":"{{AccessWorld.Password}}"}""", Cancelled);

    private static Task<System.Text.Json.Nodes.JsonObject> SignInAsync(TenancyHost host) => host.Client.JsonAsync(
        "POST", "/v1/sessions", null, $$"""{"name":"olga","password":"{{AccessWorld.Password}}"}""", Cancelled);

    private static async Task<(int Status, int? RetryAfter)> TryAsync(TenancyHost host, string name, string password)
    {
        using var response = await host.Client.CallAsync("POST", "/v1/sessions", null, $$"""{"name":"{{name}}","password":"{{password}}"}""", Cancelled);
        return ((int)response.StatusCode, (int?)response.Headers.RetryAfter?.Delta?.TotalSeconds);
    }

    private static async Task<int> StatusAsync(TenancyHost host, string token)
    {
        using var response = await host.Client.CallAsync("GET", "/v1/whoami", token, null, Cancelled);
        return (int)response.StatusCode;
    }
}
