using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Api;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

/// <summary>What holds for all requests: bodies, idempotency, pages, rate limits.</summary>
public sealed class RequestTests
{
    private static CancellationToken Cancelled => TenancyHost.Cancelled;

    [Fact]
    public async Task Every_fault_of_a_body_is_reported_at_once_with_its_pointer()
    {
        await using var host = await TenancyHost.StartAsync();
        using var response = await host.Client.CallAsync(
            "POST", "/v1/keys", host.AdminToken, """{"scopes":["org:read:*","nope:x:y",7,"org:members:*"],"expiresInDays":367,"colour/~":"red"}""", Cancelled);
        ((int)response.StatusCode).ShouldBe(400);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        var problem = await response.ReadJsonAsync(Cancelled);
        problem["errors"]!.AsArray().Select(error => error!.Text("pointer")).Order(StringComparer.Ordinal)
            .ShouldBe(["/colour~1~0", "/expiresInDays", "/name", "/scopes/1", "/scopes/2", "/scopes/3"]);
    }

    [Theory]
    [InlineData("", 400)]
    [InlineData("[]", 400)]
    [InlineData("{", 400)]
    [InlineData("""{"name":"acme","name":"beta"}""", 400)]
    [InlineData("""{"Name":"acme"}""", 400)]
    [InlineData("""{"name":null}""", 400)]
    [InlineData("""{"name":"A"}""", 400)]
    [InlineData("""{"name":"\ud800"}""", 400)]
    [InlineData("""{"name":"acme","displayName":"\u0000"}""", 400)]
    [InlineData("""{"name":"acme","displayName":null}""", 201)]
    public async Task Bodies_are_taken_strictly(string body, int status)
    {
        await using var host = await TenancyHost.StartAsync();
        using var response = await host.Client.CallAsync("POST", "/v1/orgs", host.AdminToken, body, Cancelled);
        ((int)response.StatusCode).ShouldBe(status, await response.Content.ReadAsStringAsync(Cancelled));
    }

    [Fact]
    public async Task Bodies_over_1_MiB_and_other_types_are_refused()
    {
        await using var host = await TenancyHost.StartAsync();
        var padding = new string(' ', RequestBodies.LargestBody - """{"name":"acme"}""".Length);
        ((int)(await host.Client.CallAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""" + padding + " ", Cancelled)).StatusCode).ShouldBe(413);
        ((int)(await host.Client.CallAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""" + padding, Cancelled)).StatusCode).ShouldBe(201);
        using var text = new HttpRequestMessage(HttpMethod.Post, "/v1/orgs") { Content = new StringContent("{}") };
        text.Headers.TryAddWithoutValidation("Authorization", "Bearer " + host.AdminToken);
        ((int)(await host.Client.SendAsync(text, Cancelled)).StatusCode).ShouldBe(415);
    }

    [Fact]
    public async Task A_repeated_POST_gets_the_first_answer_and_no_second_effect()
    {
        await using var host = await TenancyHost.StartAsync();
        var body = AccessWorld.KeyBody("org:read:*");
        using var first = await host.Client.CallAsync("POST", "/v1/keys", host.AdminToken, body, Cancelled, ("Idempotency-Key", "a"));
        using var second = await host.Client.CallAsync("POST", "/v1/keys", host.AdminToken, body, Cancelled, ("Idempotency-Key", "a"));
        second.StatusCode.ShouldBe(first.StatusCode);
        second.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        first.Headers.Contains("Idempotency-Replayed").ShouldBeFalse();
        (await second.Content.ReadAsStringAsync(Cancelled)).ShouldBe(await first.Content.ReadAsStringAsync(Cancelled));
        (await host.Client.JsonAsync("GET", "/v1/keys", host.AdminToken, null, Cancelled))["items"]!.AsArray().Count.ShouldBe(1);

        using var other = await host.Client.CallAsync("POST", "/v1/keys", host.AdminToken, AccessWorld.KeyBody("events:read:*"), Cancelled, ("Idempotency-Key", "a"));
        ((int)other.StatusCode).ShouldBe(422);
        (await other.ReadJsonAsync(Cancelled)).Text("code").ShouldBe("idempotency_key_reused");

        host.Time.Sleep(TimeSpan.FromHours(24));
        using var later = await host.Client.CallAsync("POST", "/v1/keys", host.AdminToken, body, Cancelled, ("Idempotency-Key", "a"));
        later.Headers.Contains("Idempotency-Replayed").ShouldBeFalse();
    }

    [Fact]
    public async Task A_repetition_while_the_first_still_runs_is_told_to_come_back()
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await TenancyHost.StartAsync(map: app => app.MapPost("/v1/slow", async (HttpContext http, Changes changes, CancellationToken cancellationToken) =>
        {
            var page = await changes.CommitAsync(http, ApiJson.Default.JsonObject, async (change, token) =>
            {
                entered.TrySetResult();
                await release.Task.WaitAsync(token);
                return new JsonObject { ["done"] = true };
            }, cancellationToken);
            return TypedResults.Json(page, ApiJson.Default.JsonObject);
        }).RequireSession());
        var first = host.Client.CallAsync("POST", "/v1/slow", host.AdminToken, null, Cancelled, ("Idempotency-Key", "a"));
        await entered.Task.WaitAsync(Cancelled);
        using var second = await host.Client.CallAsync("POST", "/v1/slow", host.AdminToken, null, Cancelled, ("Idempotency-Key", "a"));
        ((int)second.StatusCode).ShouldBe(409);
        second.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        release.SetResult();
        ((int)(await first).StatusCode).ShouldBe(200);
        using var third = await host.Client.CallAsync("POST", "/v1/slow", host.AdminToken, null, Cancelled, ("Idempotency-Key", "a"));
        third.Headers.Contains("Idempotency-Replayed").ShouldBeTrue();
    }

    [Fact]
    public async Task A_refused_POST_leaves_no_answer_behind()
    {
        await using var host = await TenancyHost.StartAsync();
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled);
        for (var i = 0; i < 2; i++)
        {
            using var again = await host.Client.CallAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled, ("Idempotency-Key", "b"));
            ((int)again.StatusCode).ShouldBe(409);
            again.Headers.Contains("Idempotency-Replayed").ShouldBeFalse();
        }
    }

    [Fact]
    public async Task Pages_hold_every_item_once_and_their_tokens_fit_only_their_list()
    {
        await using var host = await TenancyHost.StartAsync();
        for (var i = 0; i < 7; i++)
        {
            await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, $$"""{"name":"org-{{i}}"}""", Cancelled);
        }

        var names = new List<string>();
        string? token = null;
        string? firstToken = null;
        do
        {
            var page = await host.Client.JsonAsync("GET", "/v1/orgs?pageSize=3" + (token is null ? "" : "&pageToken=" + token), host.AdminToken, null, Cancelled);
            names.AddRange(page["items"]!.AsArray().Select(org => org!.Text("name")));
            token = page["nextPageToken"]?.GetValue<string>();
            firstToken ??= token;
        }
        while (token is not null);

        names.ShouldBe(Enumerable.Range(0, 7).Select(i => string.Create(CultureInfo.InvariantCulture, $"org-{i}")));
        foreach (var path in (string[])[
            "/v1/users?pageToken=" + firstToken,
            "/v1/orgs?filter=x&pageToken=" + firstToken,
            "/v1/orgs?pageToken=" + firstToken![..^1] + (firstToken[^1] == 'A' ? 'B' : 'A'),
            "/v1/orgs?pageToken=x",
            "/v1/orgs?pageSize=201",
            "/v1/orgs?pageSize=0"])
        {
            ((int)(await host.Client.CallAsync("GET", path, host.AdminToken, null, Cancelled)).StatusCode).ShouldBe(400, path);
        }
    }

    [Fact]
    public async Task Requests_over_the_limit_of_a_credential_are_told_when_to_come_back()
    {
        await using var host = await TenancyHost.StartAsync(credentialLimit: new RateLimit(3, TimeSpan.FromSeconds(60)));
        using var first = await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled);
        first.Headers.GetValues("RateLimit-Policy").ShouldBe(["\"credential\";q=3;w=60"]);
        first.Headers.GetValues("RateLimit").ShouldBe(["\"credential\";r=2;t=20"]);
        await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled);
        await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled);
        using var refused = await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled);
        ((int)refused.StatusCode).ShouldBe(429);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(20));
        // Others have their own bucket.
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", null, null, Cancelled)).StatusCode).ShouldBe(401);
        host.Time.Advance(TimeSpan.FromSeconds(20));
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled)).StatusCode).ShouldBe(200);
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled)).StatusCode).ShouldBe(429);
    }

    [Fact]
    public async Task Callers_without_a_good_credential_share_the_limit_of_their_network()
    {
        await using var host = await TenancyHost.StartAsync(anonymousLimit: new RateLimit(2, TimeSpan.FromSeconds(60)));
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", null, null, Cancelled)).StatusCode).ShouldBe(401);
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", Token.New(TokenKind.Session).Text, null, Cancelled)).StatusCode).ShouldBe(401);
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", null, null, Cancelled)).StatusCode).ShouldBe(429);
        ((int)(await host.Client.CallAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled)).StatusCode).ShouldBe(200);
    }

    [Theory]
    [InlineData("203.0.113.77", "203.0.113.0/24")]
    [InlineData("::ffff:203.0.113.77", "203.0.113.0/24")]
    [InlineData("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56")]
    public void Networks_are_24_and_56_bits(string address, string network) => NetworkAddress.Network(System.Net.IPAddress.Parse(address)).ShouldBe(network);
}
