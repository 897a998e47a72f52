using System.Text;
using Dapper;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class CredentialTests
{
    private static CancellationToken Cancelled => TenancyHost.Cancelled;

    [Fact]
    public async Task A_key_ends_at_once_here_and_within_a_second_elsewhere_when_revoked()
    {
        await using var host = await TenancyHost.StartAsync();
        await using var other = await TenancyHost.StartAsync(beside: host);
        var (id, secret) = await IssueAsync(host);
        (await StatusAsync(host, secret)).ShouldBe(200);
        (await StatusAsync(other, secret)).ShouldBe(200);
        (await host.Client.CallAsync("DELETE", "/v1/keys/" + id, host.AdminToken, null, Cancelled)).EnsureSuccessStatusCode();
        (await StatusAsync(host, secret)).ShouldBe(401);
        host.Time.Advance(TimeSpan.FromSeconds(1));
        (await StatusAsync(other, secret)).ShouldBe(401);
    }

    [Fact]
    public async Task A_key_expires_after_90_days_unless_asked_otherwise()
    {
        await using var host = await TenancyHost.StartAsync();
        var (_, secret) = await IssueAsync(host);
        host.Time.Sleep(TimeSpan.FromDays(90) - TimeSpan.FromSeconds(2));
        (await StatusAsync(host, secret)).ShouldBe(200);
        host.Time.Advance(TimeSpan.FromSeconds(2));
        (await StatusAsync(host, secret)).ShouldBe(401);
    }

    [Fact]
    public async Task A_key_lives_as_long_as_the_server_is_set_to_and_no_longer_can_be_asked_for()
    {
        await using var host = await TenancyHost.StartAsync(
            configure: options => options with { KeyDefaultLifetime = TimeSpan.FromHours(6), KeyMaxLifetime = TimeSpan.FromDays(400) });
        var (_, secret) = await IssueAsync(host);
        host.Time.Sleep(TimeSpan.FromHours(6) - TimeSpan.FromSeconds(2));
        (await StatusAsync(host, secret)).ShouldBe(200);
        host.Time.Advance(TimeSpan.FromSeconds(2));
        (await StatusAsync(host, secret)).ShouldBe(401);
        foreach (var (days, status) in ((int, int)[])[(0, 400), (1, 201), (400, 201), (401, 400)])
        {
            using var response = await host.Client.CallAsync(
                "POST", "/v1/keys", host.AdminToken, $$"""{"name":"k{{days}}","scopes":["org:read:*"],"expiresInDays":{{days}}}""", Cancelled);
            ((int)response.StatusCode).ShouldBe(status, $"{days} days");
        }
    }

    [Fact]
    public async Task A_session_ends_after_30_days()
    {
        await using var host = await TenancyHost.StartAsync();
        host.Time.Sleep(TimeSpan.FromDays(30) - TimeSpan.FromSeconds(1));
        (await StatusAsync(host, host.AdminToken)).ShouldBe(200);
        host.Time.Advance(TimeSpan.FromSeconds(1));
        (await StatusAsync(host, host.AdminToken)).ShouldBe(401);
    }

    [Fact]
    public async Task A_right_id_with_a_wrong_secret_is_refused_also_when_cached()
    {
        await using var host = await TenancyHost.StartAsync();
        var (_, secret) = await IssueAsync(host);
        (await StatusAsync(host, secret)).ShouldBe(200);
        // Same id, other secret, right checksum: made by giving the row's id another token's tail.
        var forged = TokenForge.WithId(secret[6..22]);
        (await StatusAsync(host, forged)).ShouldBe(401);
        host.Time.Advance(TimeSpan.FromSeconds(2));
        (await StatusAsync(host, forged)).ShouldBe(401);
        (await StatusAsync(host, secret)).ShouldBe(200);
    }

    [Theory]
    [InlineData("anything", true)]
    [InlineData("", true)]
    [InlineData("as-user-name", false)]
    public async Task Basic_takes_the_key_as_password_or_as_user_name(string user, bool asPassword)
    {
        await using var host = await TenancyHost.StartAsync();
        var (_, secret) = await IssueAsync(host);
        var pair = asPassword ? $"{user}:{secret}" : $"{secret}:x";
        var header = "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(pair));
        using var response = await host.Client.CallAsync("GET", "/v1/whoami", null, null, Cancelled, ("Authorization", header));
        ((int)response.StatusCode).ShouldBe(200);
    }

    [Fact]
    public async Task A_bad_credential_is_never_taken_for_none()
    {
        await using var host = await TenancyHost.StartAsync();
        foreach (var header in (string[])["Bearer nonsense", "Basic !!!", "Digest x", "Bearer " + Token.New(TokenKind.UserKey).Text, "Bearer " + new string('x', 4000)])
        {
            using var response = await host.Client.CallAsync("POST", "/v1/sessions", null, "{}", Cancelled, ("Authorization", header));
            ((int)response.StatusCode).ShouldBe(401, header);
            response.Headers.WwwAuthenticate.ToString().ShouldStartWith("Bearer");
        }
    }

    [Fact]
    public async Task Secrets_are_not_in_the_database()
    {
        await using var host = await TenancyHost.StartAsync();
        var (_, secret) = await IssueAsync(host);
        await using var connection = await host.Database.Database.OpenAsync(Cancelled);
        var dump = string.Join('\n', await connection.QueryAsync<string>("select k::text from api_key k union all select s::text from session s union all select e::text from event e"));
        dump.ShouldContain(secret[6..22]);
        dump.ShouldNotContain(secret[22..65]);
        dump.ShouldNotContain(host.AdminToken[22..65]);
    }

    [Fact]
    public async Task Last_use_is_written_in_batches()
    {
        await using var host = await TenancyHost.StartAsync();
        var (id, secret) = await IssueAsync(host);
        host.Time.Advance(TimeSpan.FromMinutes(1));
        (await StatusAsync(host, secret)).ShouldBe(200);
        await host.Get<LastUse>().FlushAsync(Cancelled);
        var key = await host.Client.JsonAsync("GET", "/v1/keys/" + id, host.AdminToken, null, Cancelled);
        DateTimeOffset.Parse(key.Text("lastUsedAt"), null).ShouldBe(host.Time.GetUtcNow());
    }

    [Fact]
    public async Task A_removed_service_account_takes_its_keys_with_it()
    {
        await using var host = await TenancyHost.StartAsync();
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled);
        await host.Client.JsonAsync("POST", "/v1/orgs/acme/service-accounts", host.AdminToken, """{"name":"ci","role":"member"}""", Cancelled);
        var issued = await host.Client.JsonAsync("POST", "/v1/orgs/acme/service-accounts/ci/keys", host.AdminToken, AccessWorld.KeyBody("org:read:acme"), Cancelled);
        var secret = issued.Text("secret");
        secret.ShouldStartWith("slp_s_");
        issued["key"]!.Text("prefix").ShouldBe(secret[..22]);
        var who = await host.Client.JsonAsync("GET", "/v1/whoami", secret, null, Cancelled);
        who.Text("principalType").ShouldBe("service_account");
        who["orgs"]![0]!.Text("role").ShouldBe("member");
        (await host.Client.CallAsync("DELETE", "/v1/orgs/acme/service-accounts/ci", host.AdminToken, null, Cancelled)).EnsureSuccessStatusCode();
        (await StatusAsync(host, secret)).ShouldBe(401);
    }

    private static async Task<(string Id, string Secret)> IssueAsync(TenancyHost host)
    {
        var issued = await host.Client.JsonAsync("POST", "/v1/keys", host.AdminToken, AccessWorld.KeyBody("org:read:*"), Cancelled);
        return (issued["key"]!.Text("id"), issued.Text("secret"));
    }

    private static async Task<int> StatusAsync(TenancyHost host, string token)
    {
        using var response = await host.Client.CallAsync("GET", "/v1/whoami", token, null, Cancelled);
        return (int)response.StatusCode;
    }
}

/// <summary>Makes what an attacker who knows a public id could: a well-formed token with another secret.</summary>
internal static class TokenForge
{
    private const string Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    public static string WithId(string id)
    {
        var body = $"slp_u_{id}{new string('7', 43)}";
        var crc = Crc32.Of(body);
        var checksum = new char[6];
        for (var i = 5; i >= 0; i--)
        {
            checksum[i] = Digits[(int)(crc % 62)];
            crc /= 62;
        }

        return body + new string(checksum);
    }
}
