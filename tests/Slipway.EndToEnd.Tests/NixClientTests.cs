using System.Text.Json.Nodes;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>Stock nix 2.8 against the real server, the way a team uses a cache.</summary>
public sealed class NixClientTests(Acme acme, NixLab nix) : IClassFixture<Acme>, IClassFixture<NixLab>
{
    [Fact]
    public async Task A_closure_pushed_by_stock_nix_copy_is_substituted_into_an_empty_store_with_signatures_checked()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("chain");

        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();

        await ShouldSubstituteAsync(cache, nix.Chain, paths: 3);
    }

    [Fact]
    public async Task A_closure_pushed_with_xz_and_bzip2_and_uncompressed_is_substituted_as_well()
    {
        NixLab.RequireNix();
        foreach (var compression in (string[])["xz", "bzip2", "none"])
        {
            var cache = await acme.CacheAsync("chain-" + compression);

            (await nix.NixAsync("nix", ["copy", "--to", $"{cache.Url}?compression={compression}", nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();

            await ShouldSubstituteAsync(cache, nix.Chain, paths: 3);
        }
    }

    [Fact]
    public async Task A_closure_of_2001_paths_goes_in_by_stock_nix_copy_and_out_again()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("tree");

        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Tree], nix.Netrc(acme.Key))).ShouldSucceed();

        var store = nix.EmptyStore();
        (await SubstituteAsync(cache, nix.Tree, store, "-j8")).ShouldSucceed();
        (await nix.NixAsync("nix-store", "--store", store, "-qR", nix.Tree)).ShouldSucceed().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(2001);
    }

    [Fact]
    public async Task Nix_copy_from_and_path_info_and_store_verify_work()
    {
        NixLab.RequireNix();
        var cache = await PushedChainAsync("reading");

        var store = nix.EmptyStore();
        (await nix.NixAsync("nix", "copy", "--from", cache.Url.ToString(), "--to", store, nix.Chain, "--option", "trusted-public-keys", cache.PublicKey)).ShouldSucceed();
        (await nix.NixAsync("nix", "path-info", "-r", "--store", cache.Url.ToString(), nix.Chain)).ShouldSucceed()
            .Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(3);
        (await nix.NixAsync("nix", "store", "verify", "-r", "--store", cache.Url.ToString(), nix.Chain, "--option", "trusted-public-keys", cache.PublicKey)).ShouldSucceed();
        (await nix.NixAsync("nix", "store", "ls", "-R", "--store", cache.Url.ToString(), nix.Chain)).ShouldSucceed().Output.ShouldContain("dep");
        (await nix.NixAsync("nix", "store", "ping", "--store", cache.Url.ToString())).ShouldSucceed();
    }

    [Fact]
    public async Task Wrong_public_key_is_refused_by_the_client()
    {
        NixLab.RequireNix();
        var cache = await PushedChainAsync("signed");
        var other = await acme.CacheAsync("other-key");

        (await SubstituteAsync(cache with { PublicKey = other.PublicKey }, nix.Chain, nix.EmptyStore())).ShouldFail();
    }

    [Fact]
    public async Task Build_log_pushed_with_copy_log_is_shown_by_nix_log()
    {
        NixLab.RequireNix();
        var cache = await PushedChainAsync("logs");
        (await nix.NixAsync("nix", ["store", "copy-log", "--to", cache.Url.ToString(), nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();

        (await nix.NixAsync("nix", "log", "--store", cache.Url.ToString(), nix.Chain)).ShouldSucceed().Output.ShouldContain("building c");
    }

    [Fact]
    public async Task Private_cache_serves_with_credentials_and_looks_absent_without()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("secret", isPublic: false);
        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();

        (await SubstituteAsync(cache, nix.Chain, nix.EmptyStore())).ShouldFail();
        (await SubstituteAsync(cache, nix.Chain, nix.EmptyStore(), "--option", "netrc-file", nix.Netrc(acme.Key))).ShouldSucceed();
        using var anonymous = acme.Server.Client();
        using var there = await anonymous.GetAsync(new Uri($"{cache.Url}/nix-cache-info"), TestContext.Current.CancellationToken);
        using var nowhere = await anonymous.GetAsync(new Uri(acme.Server.Url, "/nix/acme/no-such-cache/nix-cache-info"), TestContext.Current.CancellationToken);
        nowhere.StatusCode.ShouldBe(there.StatusCode);
    }

    [Fact]
    public async Task Push_without_a_key_fails_at_once()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("read-only");

        (await nix.NixAsync("nix", "copy", "--to", cache.PushUrl, nix.Chain)).ShouldFail().Errors.ShouldContain("401");
        var reader = await acme.IssueKeyAsync("nix:fetch:acme/*");
        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Chain], nix.Netrc(reader))).ShouldFail().Errors.ShouldContain("403");
    }

    [Fact]
    public async Task Content_addressed_derivation_is_found_by_its_realisation()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("ca");
        var built = (await nix.BuildAsync("chain.nix", "caB")).Trim();
        var file = Path.Combine(AppContext.BaseDirectory, "Lab", "chain.nix");
        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, "-f", file, "caB"], nix.Netrc(acme.Key))).ShouldSucceed();

        var store = nix.EmptyStore();
        (await nix.NixAsync("nix", "copy", "--from", cache.Url.ToString(), "--to", store, built, "--option", "trusted-public-keys", cache.PublicKey)).ShouldSucceed();
        var realisations = JsonNode.Parse((await nix.NixAsync("nix", "realisation", "info", "--json", "-f", file, "caB")).ShouldSucceed().Output)!.AsArray();
        using var client = acme.Server.Client();
        var served = JsonNode.Parse(await client.GetStringAsync(
            new Uri($"{cache.Url}/realisations/{realisations[0]!["id"]!.GetValue<string>()}.doi"), TestContext.Current.CancellationToken))!;
        served["outPath"]!.GetValue<string>().ShouldBe(Path.GetFileName(built));
    }

    [Fact]
    public async Task Extra_signature_by_nix_store_sign_is_kept_beside_ours()
    {
        NixLab.RequireNix();
        var cache = await PushedChainAsync("cosigned");
        var key = (await nix.NixAsync("nix", "key", "generate-secret", "--key-name", "elsewhere-1")).ShouldSucceed().Output;
        using var folder = new TempFolder();
        File.WriteAllText(folder.File("key"), key);

        (await nix.NixAsync("nix", ["store", "sign", "--store", cache.Url.ToString(), "-k", folder.File("key"), "-r", nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();

        using var client = acme.Server.Client();
        var narInfo = await client.GetStringAsync(new Uri($"{cache.Url}/{Path.GetFileName(nix.Chain)[..32]}.narinfo"), TestContext.Current.CancellationToken);
        narInfo.ShouldContain("Sig: cosigned.acme-1:");
        narInfo.ShouldContain("Sig: elsewhere-1:");
        await ShouldSubstituteAsync(cache, nix.Chain, paths: 3);
    }

    private async Task<NixCacheUnderTest> PushedChainAsync(string name)
    {
        var cache = await acme.CacheAsync(name);
        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();
        return cache;
    }

    private async Task ShouldSubstituteAsync(NixCacheUnderTest cache, string path, int paths)
    {
        var store = nix.EmptyStore();
        (await SubstituteAsync(cache, path, store)).ShouldSucceed();
        (await nix.NixAsync("nix-store", "--store", store, "-qR", path)).ShouldSucceed()
            .Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(paths);
        (await nix.NixAsync("nix", "store", "verify", "--store", store, "-r", path, "--option", "trusted-public-keys", cache.PublicKey)).ShouldSucceed();
    }

    private Task<Ran> SubstituteAsync(NixCacheUnderTest cache, string path, string store, params string[] more) => nix.NixAsync(
        "nix-store", ["--store", store, "--realise", path, "--option", "substituters", cache.Url.ToString(), "--option", "trusted-public-keys", cache.PublicKey, .. more], null);
}
