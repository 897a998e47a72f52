using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class AccessTests
{
    [Fact]
    public async Task Every_route_answers_every_caller_as_the_table_says()
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        (await AccessTable.DifferencesAsync(world, TenancyAccessRows.All, TenancyHost.Cancelled)).ShouldBe("");
    }

    [Fact]
    public async Task Every_route_is_in_the_table_and_has_one_rule()
    {
        await using var host = await TenancyHost.StartAsync();
        AccessTable.Uncovered(host.Endpoints, TenancyAccessRows.All).ShouldBeEmpty();
        host.Endpoints.ShouldAllBe(endpoint => endpoint.Metadata.OfType<AccessRule>().Count() == 1);
    }

    [Fact]
    public async Task A_refusal_names_what_is_missing()
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        var cancelled = TenancyHost.Cancelled;
        async Task<(string Code, string Detail)> RefusalAsync(Actor actor, string method, string path)
        {
            var problem = await (await host.Client.CallAsync(method, path, await world.TokenAsync(actor, null, cancelled), null, cancelled)).ReadJsonAsync(cancelled);
            return (problem.Text("code"), problem.Text("detail"));
        }

        var role = await RefusalAsync(Actor.Viewer, "GET", "/v1/orgs/acme/events");
        role.Code.ShouldBe("forbidden");
        role.Detail.ShouldBe("events:read needs the role member in acme, and vera is viewer.");
        var scope = await RefusalAsync(Actor.KeyWithoutScope, "GET", "/v1/orgs/acme");
        scope.Code.ShouldBe("scope_missing");
        scope.Detail.ShouldContain("org:read:acme");
        (await RefusalAsync(Actor.KeyWithScope, "GET", "/v1/keys")).Code.ShouldBe("session_required");
        (await RefusalAsync(Actor.ExpiredKey, "GET", "/v1/orgs/acme")).Code.ShouldBe("credential_expired");
        (await RefusalAsync(Actor.RevokedKey, "GET", "/v1/orgs/acme")).Code.ShouldBe("credential_revoked");
        var foreign = await RefusalAsync(Actor.Stranger, "GET", "/v1/orgs/acme");
        foreign.Detail.ShouldBe((await RefusalAsync(Actor.Stranger, "GET", "/v1/orgs/nowhere")).Detail.Replace("nowhere", "acme", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_route_without_a_rule_fails_instead_of_being_open()
    {
        await using var host = await TenancyHost.StartAsync(map: app => Microsoft.AspNetCore.Builder.EndpointRouteBuilderExtensions.MapGet(app, "/v1/forgotten", (Delegate)(() => "open")));
        using var response = await host.Client.CallAsync("GET", "/v1/forgotten", host.AdminToken, null, TenancyHost.Cancelled);
        ((int)response.StatusCode).ShouldBe(500);
    }

    [Fact]
    public async Task A_refusal_comes_before_the_body_is_read()
    {
        await using var host = await TenancyHost.StartAsync();
        using var client = new HttpClient(new SocketsHttpHandler { Expect100ContinueTimeout = Eventually.DefaultDeadline }) { BaseAddress = host.Client.BaseAddress };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/orgs") { Content = new UnsentContent() };
        request.Headers.ExpectContinue = true;
        using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TenancyHost.Cancelled);
        ((int)response.StatusCode).ShouldBe(401);
    }

    [Fact]
    public async Task Rights_of_a_key_shrink_with_those_of_its_owner()
    {
        await using var host = await TenancyHost.StartAsync();
        var world = await host.WorldAsync();
        var cancelled = TenancyHost.Cancelled;
        var key = await world.IssueAsync((await world.TokenAsync(Actor.Member, null, cancelled))!, ["events:read:acme"], cancelled);
        async Task<int> StatusAsync() => (int)(await host.Client.CallAsync("GET", "/v1/orgs/acme/events", key, null, cancelled)).StatusCode;
        (await StatusAsync()).ShouldBe(200);
        await world.SetRoleAsync("mia", "viewer", cancelled);
        (await StatusAsync()).ShouldBe(403);
        (await host.Client.CallAsync("DELETE", "/v1/orgs/acme/members/mia", world.OwnerToken, null, cancelled)).EnsureSuccessStatusCode();
        (await StatusAsync()).ShouldBe(404);
    }

    /// <summary>Fails when it is sent: the server must refuse before it says 100 Continue.</summary>
    private sealed class UnsentContent : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context) =>
            throw new InvalidOperationException("The server asked for the body.");

        protected override bool TryComputeLength(out long length)
        {
            // Up to 1,024 bytes HttpClient sends anyway, after a refusal.
            length = 100_000;
            return true;
        }
    }
}
