using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class OrgTests
{
    private static CancellationToken Cancelled => TenancyHost.Cancelled;

    [Fact]
    public async Task The_last_owner_can_neither_go_nor_step_down()
    {
        await using var host = await TenancyHost.StartAsync();
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled);
        (await StatusAsync(host, "DELETE", "admin", host.AdminToken, null)).ShouldBe(409);
        (await StatusAsync(host, "PUT", "admin", host.AdminToken, """{"role":"admin"}""")).ShouldBe(409);
        (await StatusAsync(host, "PUT", "admin", host.AdminToken, """{"role":"owner"}""")).ShouldBe(200);
    }

    [Fact]
    public async Task Two_owners_who_leave_at_the_same_moment_leave_one()
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        await world.SetRoleAsync("adam", "owner", Cancelled);
        (await host.Client.CallAsync("DELETE", "/v1/orgs/acme/members/dora", world.OwnerToken, null, Cancelled)).EnsureSuccessStatusCode();
        var adam = (await world.TokenAsync(Actor.Admin, null, Cancelled))!;
        var answers = await Task.WhenAll(StatusAsync(host, "DELETE", "olga", world.OwnerToken, null), StatusAsync(host, "DELETE", "adam", adam, null));
        answers.Order().ShouldBe([204, 409]);
    }

    [Theory]
    [InlineData("PUT", "mia", """{"role":"owner"}""")]
    [InlineData("PUT", "olga", """{"role":"member"}""")]
    [InlineData("DELETE", "olga", null)]
    public async Task Only_owners_make_change_and_remove_owners(string method, string user, string? body)
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        (await StatusAsync(host, method, user, (await world.TokenAsync(Actor.Admin, null, Cancelled))!, body)).ShouldBe(403);
        (await StatusAsync(host, method, user, world.OwnerToken, body)).ShouldBeInRange(200, 204);
    }

    [Fact]
    public async Task A_superuser_sees_no_org_they_are_not_in()
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        var suse = await world.TokenAsync(Actor.Superuser, null, Cancelled);
        (await host.Client.JsonAsync("GET", "/v1/orgs", suse, null, Cancelled))["items"]!.AsArray().ShouldBeEmpty();
    }

    [Fact]
    public async Task A_key_lists_only_the_orgs_of_its_scopes()
    {
        await using var host = await TenancyHost.StartAsync();
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled);
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"beta"}""", Cancelled);
        var issued = await host.Client.JsonAsync("POST", "/v1/keys", host.AdminToken, AccessWorld.KeyBody("org:read:be*"), Cancelled);
        var orgs = (await host.Client.JsonAsync("GET", "/v1/orgs", issued.Text("secret"), null, Cancelled))["items"]!.AsArray();
        orgs.Select(org => org!.Text("name")).ShouldBe(["beta"]);
    }

    [Fact]
    public async Task Names_are_taken_once()
    {
        await using var host = await TenancyHost.StartAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
            (int)(await host.Client.CallAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled)).StatusCode));
        answers.Count(status => status == 201).ShouldBe(1);
        answers.Count(status => status == 409).ShouldBe(7);
    }

    [Fact]
    public async Task Updates_need_the_current_ETag()
    {
        await using var host = await TenancyHost.StartAsync();
        using var created = await host.Client.CallAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled);
        var tag = created.Headers.ETag!.ToString();
        async Task<HttpResponseMessage> PatchAsync(string name, params (string, string)[] headers) =>
            await host.Client.CallAsync("PATCH", "/v1/orgs/acme", host.AdminToken, $$"""{"displayName":"{{name}}"}""", Cancelled, headers);
        ((int)(await PatchAsync("One")).StatusCode).ShouldBe(428);
        var patched = await PatchAsync("One", ("If-Match", tag));
        ((int)patched.StatusCode).ShouldBe(200);
        ((int)(await PatchAsync("Two", ("If-Match", tag))).StatusCode).ShouldBe(412);
        ((int)(await PatchAsync("Two", ("If-Match", "W/" + patched.Headers.ETag))).StatusCode).ShouldBe(412);
        using var unchanged = await host.Client.CallAsync("GET", "/v1/orgs/acme", host.AdminToken, null, Cancelled, ("If-None-Match", patched.Headers.ETag!.ToString()));
        ((int)unchanged.StatusCode).ShouldBe(304);
        using var changed = await host.Client.CallAsync("GET", "/v1/orgs/acme", host.AdminToken, null, Cancelled, ("If-None-Match", tag));
        ((int)changed.StatusCode).ShouldBe(200);
    }

    private static async Task<int> StatusAsync(TenancyHost host, string method, string user, string token, string? body)
    {
        using var response = await host.Client.CallAsync(method, "/v1/orgs/acme/members/" + user, token, body, Cancelled);
        return (int)response.StatusCode;
    }
}
