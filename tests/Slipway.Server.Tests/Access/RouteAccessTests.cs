using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Shouldly;
using Slipway.Grpc;
using Slipway.Server.Tests.Nix;
using Slipway.Tenancy;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Access;

/// <summary>Every route of the composed server, for everybody who may call it.</summary>
public sealed class RouteAccessTests(AcmeServer server) : IClassFixture<AcmeServer>, IAsyncLifetime
{
    private static readonly AccessRow[] V1 = [.. TenancyAccessRows.All, .. NixAccessRows.V1, .. JobAccessRows.All, .. BuildCacheAccessRows.All];

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    private IReadOnlyList<RouteEndpoint> Endpoints => [.. server.Running.Server.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()];

    public async ValueTask InitializeAsync()
    {
        using var known = await server.Client.CallAsync("GET", "/v1/orgs/acme/caches/main", server.World.OwnerToken, null, CancellationToken);
        if (!known.IsSuccessStatusCode)
        {
            await NixAccessRows.SetUpAsync(server.World, CancellationToken);
            await JobAccessRows.SetUpAsync(server.World, CancellationToken);
            await BuildCacheAccessRows.SetUpAsync(server.World, CancellationToken);
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public void Every_route_of_the_server_is_in_a_table()
    {
        var protocol = Endpoints.Where(endpoint => endpoint.Metadata.GetMetadata<IHttpMethodMetadata>() is null).ToList();
        protocol.Select(endpoint => endpoint.RoutePattern.RawText).ShouldBe(["/nix/{**file}", "/cache/{**file}"]);
        // Who may call a method of gRPC is in its message (the instance name): the feature's own tests have it.
        var calls = Endpoints.Where(endpoint => endpoint.Metadata.GetMetadata<GrpcMethod>() is not null);
        AccessTable.Uncovered(Endpoints.Except(protocol).Except(calls), [.. V1, .. NixAccessRows.Open]).ShouldBeEmpty();
    }

    [Fact]
    public void Every_v1_route_has_exactly_one_rule() =>
        Endpoints.Where(endpoint => endpoint.RoutePattern.RawText!.StartsWith("/v1", StringComparison.Ordinal))
            .ShouldAllBe(endpoint => endpoint.Metadata.OfType<AccessRule>().Count() == 1);

    [Fact]
    [Trait("speed", "slow")]
    public async Task Every_route_answers_every_caller_as_the_table_says() =>
        (await AccessTable.DifferencesAsync(server.World, [.. V1, .. NixAccessRows.Open], CancellationToken)).ShouldBe("");

    [Fact]
    public async Task The_binary_cache_protocol_answers_every_caller_as_the_table_says() =>
        (await AccessTable.DifferencesAsync(server.World, NixAccessRows.Protocol, CancellationToken)).ShouldBe("");

    [Fact]
    public async Task A_key_of_another_org_finds_nothing_of_this_one()
    {
        var world = server.World;
        // As wide as a key can be: its owner's rights end at the own org.
        var key = await world.IssueAsync((await world.TokenAsync(Actor.Stranger, null, CancellationToken))!, ["nix:fetch:*", "nix:push:*", "nix:query:*", "nix:delete:*"], CancellationToken);
        List<string> wrong = [];
        foreach (var row in NixAccessRows.V1.Concat(NixAccessRows.Protocol))
        {
            var call = await row.Prepare(world, Actor.Stranger, CancellationToken);
            using var response = await world.Client.CallAsync(row.Method, call.Path, key, call.Body, CancellationToken, [.. call.Headers]);
            var expected = (row.Method, call.Path) switch
            {
                (_, var path) when path.StartsWith("/v1/stores", StringComparison.Ordinal) => 403,
                ("POST" or "DELETE", var path) when path.StartsWith("/nix/", StringComparison.Ordinal) => 405,
                ("GET" or "HEAD", var path) when path.StartsWith("/nix/acme/open/", StringComparison.Ordinal) => 200,
                ("PUT", var path) when path.StartsWith("/nix/acme/open/", StringComparison.Ordinal) => 403,
                _ => 404,
            };
            if ((int)response.StatusCode != expected)
            {
                wrong.Add($"{row.Method} {call.Path}: expected {expected}, was {(int)response.StatusCode}");
            }
        }

        wrong.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_key_of_another_org_finds_no_queue_of_this_one()
    {
        var world = server.World;
        var key = await world.IssueAsync(
            (await world.TokenAsync(Actor.Stranger, null, CancellationToken))!, ["jobs:read:*", "jobs:peek:*", "jobs:enqueue:*", "jobs:work:*", "jobs:admin:*"], CancellationToken);
        List<string> wrong = [];
        foreach (var row in JobAccessRows.All)
        {
            var call = await row.Prepare(world, Actor.Stranger, CancellationToken);
            using var response = await world.Client.CallAsync(row.Method, call.Path, key, call.Body, CancellationToken, [.. call.Headers]);
            if ((int)response.StatusCode != 404)
            {
                wrong.Add($"{row.Method} {call.Path}: expected 404, was {(int)response.StatusCode}");
            }
        }

        wrong.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_key_of_another_org_finds_no_build_cache_of_this_one()
    {
        var world = server.World;
        var key = await world.IssueAsync(
            (await world.TokenAsync(Actor.Stranger, null, CancellationToken))!, ["buildcache:read:*", "buildcache:write:*", "buildcache:ac-write:*"], CancellationToken);
        List<string> wrong = [];
        foreach (var row in BuildCacheAccessRows.All.Where(row => row.Route.Contains("build-caches", StringComparison.Ordinal)))
        {
            var call = await row.Prepare(world, Actor.Stranger, CancellationToken);
            using var response = await world.Client.CallAsync(row.Method, call.Path, key, call.Body, CancellationToken, [.. call.Headers]);
            if ((int)response.StatusCode != 404)
            {
                wrong.Add($"{row.Method} {call.Path}: expected 404, was {(int)response.StatusCode}");
            }
        }

        wrong.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_private_cache_and_none_look_the_same_to_outsiders()
    {
        foreach (var actor in (Actor[])[Actor.Anonymous, Actor.Stranger])
        {
            var token = await server.World.TokenAsync(actor, null, CancellationToken);
            async Task<string> SeenAsync(string cache, string method)
            {
                using var response = await server.Client.CallAsync(method, $"/nix/acme/{cache}/nix-cache-info", token, method == "PUT" ? "x" : null, CancellationToken);
                response.Headers.Date = null;
                return $"{(int)response.StatusCode} {response.Headers} {await response.Content.ReadAsStringAsync(CancellationToken)}";
            }

            foreach (var method in (string[])["GET", "HEAD", "PUT"])
            {
                (await SeenAsync("private", method)).ShouldBe(await SeenAsync("absent", method));
            }
        }
    }

    [Fact]
    public async Task Basic_credentials_are_read_as_netrc_sends_them()
    {
        foreach (var (pair, expected) in ((string, int)[])[($"anything:{server.Key}", 200), ($":{server.Key}", 200), ($"{server.Key}:", 200), ("olga:wrong", 401), ("", 401)])
        {
            using var response = await server.Client.CallAsync(
                "GET", "/nix/acme/private/nix-cache-info", null, null, CancellationToken,
                ("Authorization", "Basic " + Convert.ToBase64String(System.Text.Encoding.Latin1.GetBytes(pair))));
            ((int)response.StatusCode).ShouldBe(expected, pair);
        }
    }
}
