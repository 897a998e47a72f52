using Shouldly;
using Xunit;

namespace Slipway.Server.Tests.Http;

public sealed class NixHostsTests
{
    [Fact]
    public async Task A_host_name_serves_its_cache_at_the_root_and_nothing_else()
    {
        await using var server = new RunningServer();
        await server.StartAsync(TestEndpoints.Map, ("nix.hosts", "cache.example=acme/main"));

        (await AskAsync(server, "cache.example", "/nix-cache-info")).ShouldBe("acme main");
        (await AskAsync(server, "CACHE.example:7474", "/nix-cache-info")).ShouldBe("acme main");
        (await AskAsync(server, "cache.example", "/healthz")).ShouldNotBe("ok\n");
        (await AskAsync(server, "other.example", "/nix-cache-info")).ShouldContain("not_found");
        (await AskAsync(server, "other.example", "/nix/acme/side/nix-cache-info")).ShouldBe("acme side");
    }

    private static async Task<string> AskAsync(RunningServer server, string host, string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { Host = host } };
        using var response = await server.Client.SendAsync(request, TestContext.Current.CancellationToken);
        return await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
    }
}
