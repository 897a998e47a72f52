using System.Text.Json.Nodes;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>A cache's signing key is replaced without a moment in which clients of either key fail.</summary>
public sealed class KeyRotationTests(Acme acme, NixLab nix) : IClassFixture<Acme>, IClassFixture<NixLab>
{
    [Fact]
    public async Task Rotation_signs_old_and_new_paths_with_both_keys_until_the_old_one_is_retired()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("rotated");
        (await acme.Server.CliAsync(acme.Key, ["push", cache.Name, nix.Chain], nix.Environment)).ShouldSucceed();

        var rotated = (await acme.Server.CliAsync("cache", "key", "rotate", cache.Name, "--json")).ShouldSucceed();
        var newKey = JsonNode.Parse(rotated.Output)!["publicKey"]!.GetValue<string>();

        await ShouldBeSignedByAsync(cache, nix.Chain, "rotated.acme-1", "rotated.acme-2");
        (await SubstituteAsync(cache, nix.Chain)).ShouldSucceed();
        (await SubstituteAsync(cache with { PublicKey = newKey }, nix.Chain)).ShouldSucceed();

        (await acme.Server.CliAsync("cache", "key", "retire", cache.Name, "rotated.acme-1", "--yes")).ShouldSucceed();

        await ShouldBeSignedByAsync(cache, nix.Chain, "rotated.acme-2");
        (await SubstituteAsync(cache with { PublicKey = newKey }, nix.Chain)).ShouldSucceed();
        (await SubstituteAsync(cache, nix.Chain)).ShouldFail();
    }

    private async Task ShouldBeSignedByAsync(NixCacheUnderTest cache, string path, params string[] keys)
    {
        using var client = acme.Server.Client();
        await Eventually.PassesAsync(async token =>
        {
            var narInfo = await client.GetStringAsync(new Uri($"{cache.Url}/{Path.GetFileName(path)[..32]}.narinfo"), token);
            narInfo.Split('\n').Where(line => line.StartsWith("Sig: ", StringComparison.Ordinal)).Select(line => line["Sig: ".Length..line.IndexOf(':', 5)]).ShouldBe(keys);
        }, TestContext.Current.CancellationToken);
    }

    private Task<Ran> SubstituteAsync(NixCacheUnderTest cache, string path) => nix.NixAsync(
        "nix-store", "--store", nix.EmptyStore(), "--realise", path, "--option", "substituters", cache.Url.ToString(), "--option", "trusted-public-keys", cache.PublicKey);
}
