using Shouldly;
using Slipway.BuildCache.Tests.Reapi;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests.Stages;

public sealed class StageTests(BuildCacheServer server) : IClassFixture<BuildCacheServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_new_org_is_at_the_default_stage_until_a_superuser_moves_it()
    {
        var stage = await server.Client.JsonAsync("GET", "/v1/orgs/acme/build-stage", server.Owner, null, CancellationToken);
        stage.Text("stage").ShouldBe("beta");
        stage["isDefault"]!.GetValue<bool>().ShouldBeTrue();
        var org = await server.OrgAsync("visible");
        (await server.Client.JsonAsync("GET", $"/v1/orgs/{org}/build-stage", server.Owner, null, CancellationToken)).Text("stage").ShouldBe("visible");
        var events = await server.Client.JsonAsync("GET", $"/v1/orgs/{org}/events", server.Owner, null, CancellationToken);
        events["items"]!.AsArray().Single(one => one!.Text("action") == "org.stage_moved")!["details"]!["stage"]!.ToJsonString().ShouldBe("""["beta","visible"]""");
    }

    [Theory]
    [InlineData("invisible", "\"quotaBytes\":107374182400", "beta")]
    [InlineData("visible", "\"quotaBytes\":2199023255552", "paid")]
    [InlineData("visible", "\"anonymousRead\":true", "beta")]
    [InlineData("visible", "\"assetHosts\":[\"example.org\"]", "beta")]
    [InlineData("beta", "\"quotaBytes\":0", "paid")]
    [InlineData("beta", "\"quotaBytes\":2199023255552", "paid")]
    public async Task What_is_beyond_a_stage_is_refused_and_opens_with_the_stage_named(string stage, string settings, string opensAt)
    {
        var org = await server.OrgAsync(stage);
        var (status, problem) = await server.RefusedAsync("POST", $"/v1/orgs/{org}/build-caches", server.Owner, $$"""{"name":"builds",{{settings}}}""");
        status.ShouldBe(403);
        problem.Text("code").ShouldBe("stage_refused");
        problem.Text("detail").ShouldContain(stage);
        problem.Text("hint").ShouldContain($"slipway org stage {org} {opensAt}");

        await server.Client.JsonAsync("PUT", $"/v1/orgs/{org}/build-stage", server.World.SuperuserToken, $$"""{"stage":"{{opensAt}}"}""", CancellationToken);
        await server.Client.JsonAsync("POST", $"/v1/orgs/{org}/build-caches", server.Owner, $$"""{"name":"builds",{{settings}}}""", CancellationToken);
    }

    [Fact]
    public async Task At_the_first_stage_a_cache_can_be_made_and_shown()
    {
        var org = await server.OrgAsync("invisible");
        await server.Client.JsonAsync("POST", $"/v1/orgs/{org}/build-caches", server.Owner, """{"name":"builds"}""", CancellationToken);
        (await server.Client.JsonAsync("GET", $"/v1/orgs/{org}/build-caches/builds", server.Owner, null, CancellationToken)).Text("stage").ShouldBe("invisible");
    }

    [Fact]
    public async Task What_a_stage_opened_has_no_effect_while_the_org_is_moved_back()
    {
        var org = await server.OrgAsync("beta");
        await server.Client.JsonAsync("POST", $"/v1/orgs/{org}/build-caches", server.Owner, """{"name":"builds","anonymousRead":true,"assetHosts":["127.0.0.1"]}""", CancellationToken);
        (await SeenAsync()).ShouldBe((200, GrpcStatus.Unavailable));
        foreach (var stage in (string[])["visible", "invisible"])
        {
            await MoveAsync(stage);
            (await SeenAsync()).ShouldBe((401, GrpcStatus.NotFound), stage);
        }

        // What was set is still set, and holds again.
        (await server.Client.JsonAsync("GET", $"/v1/orgs/{org}/build-caches/builds", server.Owner, null, CancellationToken))["anonymousRead"]!.GetValue<bool>().ShouldBeTrue();
        await MoveAsync("paid");
        (await SeenAsync()).ShouldBe((200, GrpcStatus.Unavailable));

        Task MoveAsync(string stage) => server.Client.JsonAsync("PUT", $"/v1/orgs/{org}/build-stage", server.World.SuperuserToken, $$"""{"stage":"{{stage}}"}""", CancellationToken);

        async Task<(int Anonymous, GrpcStatus Asset)> SeenAsync()
        {
            using var answer = await server.Client.CallAsync("GET", $"/cache/{org}/builds/cas/{ReapiClient.Sha256Of([]).Hash}", null, null, CancellationToken);
            using var client = ReapiClient.Of(server, $"{org}/builds", server.Owner);
            // Never downloaded, as this machine is not public; but only where hosts are named it gets so far.
            var fetched = await client.CallAsync<FetchBlobResponse>(
                "/build.bazel.remote.asset.v1.Fetch/FetchBlob", new FetchBlobRequest { InstanceName = client.Instance, Uris = { "http://127.0.0.1:1/file" } });
            return ((int)answer.StatusCode, (GrpcStatus)fetched.Status.Code);
        }
    }

    [Fact]
    public async Task An_unknown_stage_and_an_unknown_org_are_refused()
    {
        (await server.RefusedAsync("PUT", "/v1/orgs/acme/build-stage", server.World.SuperuserToken, """{"stage":"gold"}""")).Status.ShouldBe(400);
        (await server.RefusedAsync("PUT", "/v1/orgs/nosuchorg/build-stage", server.World.SuperuserToken, """{"stage":"paid"}""")).Status.ShouldBe(404);
    }
}
