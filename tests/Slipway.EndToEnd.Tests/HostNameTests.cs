using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>A cache with a host name of its own: netrc tells hosts apart, not paths.</summary>
public sealed class HostNameTests(NixLab nix) : IClassFixture<NixLab>
{
    [Fact]
    public async Task Private_cache_with_its_own_host_name_is_pushed_to_and_fetched_from_at_the_root()
    {
        NixLab.RequireNix();
        await using var server = await SlipwayServer.StartAsync("nix.hosts=localhost=acme/rooted");
        (await server.CliAsync("org", "create", "acme")).ShouldSucceed();
        var created = (await server.CliAsync("cache", "create", "acme/rooted", "--json")).ShouldSucceed();
        var cache = System.Text.Json.Nodes.JsonNode.Parse(created.Output)!;
        cache["url"]!.GetValue<string>().ShouldBe($"http://localhost:{server.Port}");
        var key = (await server.CliAsync("key", "issue", "all", "--scope", "nix:push:acme/*", "--scope", "nix:fetch:acme/*", "--quiet")).ShouldSucceed().Output.Trim();
        using var folder = new TempFolder();
        File.WriteAllText(folder.File("netrc"), $"machine localhost password {key}\n");

        (await nix.NixAsync("nix", ["copy", "--to", $"http://localhost:{server.Port}?compression=zstd", nix.Chain], folder.File("netrc"))).ShouldSucceed();

        string[] fetch = ["--store", nix.EmptyStore(), "--realise", nix.Chain, "--option", "substituters", $"http://localhost:{server.Port}", "--option", "trusted-public-keys", cache["publicKeys"]![0]!.GetValue<string>()];
        (await nix.NixAsync("nix-store", fetch)).ShouldFail();
        (await nix.NixAsync("nix-store", fetch, folder.File("netrc"))).ShouldSucceed();
    }
}
