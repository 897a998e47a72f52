using System.Security.Cryptography;
using System.Text.RegularExpressions;
using Slipway.EndToEnd.Tests.BuildCache.Clients;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache;

/// <summary>ccache, sccache, Turborepo, Nx, Gradle and Go with their real programs, each against a new cache.</summary>
[Collection(BuildTeamCollection.Name)]
public sealed class BuildCacheToolTests(BuildTeam team)
{
    [Theory]
    [InlineData("subdirs")]
    [InlineData("flat")]
    [InlineData("bazel")]
    public async Task Ccache_finds_what_another_machine_compiled(string layout)
    {
        var cache = await team.CacheAsync();
        var storage = $"{cache.Url}/ccache|layout={layout}|bearer-token={team.Key}";
        using var first = new Ccache(storage);
        (await first.CompileAsync("int one(void) { return 1; }\n")).ShouldSucceed();
        (await first.CountAsync("remote_storage_hit")).ShouldBe(0);
        (await first.CountAsync("remote_storage_error")).ShouldBe(0);

        using var second = new Ccache(storage);
        (await second.CompileAsync("int one(void) { return 1; }\n")).ShouldSucceed();

        (await second.CountAsync("remote_storage_hit")).ShouldBe(1);
        (await second.CountAsync("direct_cache_hit")).ShouldBe(1);
        (await second.CountAsync("remote_storage_error")).ShouldBe(0);
    }

    [Fact]
    public async Task Ccache_with_layout_bazel_may_use_the_ac_of_a_cache_that_does_not_validate()
    {
        var cache = await team.CacheAsync(validateActions: false);
        // The other way to say who one is: Basic, in the URL.
        var storage = $"{cache.Url.ToString().Replace("http://", $"http://ci:{team.Key}@", StringComparison.Ordinal)}|layout=bazel";
        using var first = new Ccache(storage);
        (await first.CompileAsync("int two(void) { return 2; }\n")).ShouldSucceed();
        using var second = new Ccache(storage);
        (await second.CompileAsync("int two(void) { return 2; }\n")).ShouldSucceed();

        (await second.CountAsync("direct_cache_hit")).ShouldBe(1);
    }

    [Fact]
    public async Task Ccache_with_a_key_that_may_only_read_compiles_and_stores_nothing()
    {
        var cache = await team.CacheAsync();
        var storage = $"{cache.Url}/ccache|bearer-token={team.ReadOnlyKey}";
        for (var machine = 0; machine < 2; machine++)
        {
            using var reader = new Ccache(storage);
            (await reader.CompileAsync("int three(void) { return 3; }\n")).ShouldSucceed();
            (await reader.CountAsync("direct_cache_hit")).ShouldBe(0);
        }
    }

    [Fact]
    public async Task Sccache_finds_what_another_machine_compiled_over_webdav()
    {
        var cache = await team.CacheAsync();
        await using (var first = await Sccache.StartAsync(cache.Url, team.Key))
        {
            (await first.CompileAsync("int four(void) { return 4; }\n")).ShouldSucceed();
            (await first.StatisticsAsync()).ShouldSatisfyAllConditions(
                statistics => statistics.Hits.ShouldBe(0), statistics => statistics.Misses.ShouldBe(1), statistics => statistics.Location.ShouldContain("webdav"));
        }

        await using var second = await Sccache.StartAsync(cache.Url, team.ReadOnlyKey);
        (await second.CompileAsync("int four(void) { return 4; }\n")).ShouldSucceed();
        var (hits, misses, _) = await second.StatisticsAsync();

        hits.ShouldBe(1);
        misses.ShouldBe(0);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("a secret of the team")]
    public async Task Turborepo_restores_outputs_from_the_remote_cache(string? signatureKey)
    {
        var cache = await team.CacheAsync();
        var environment = new Dictionary<string, string?>
        {
            ["TURBO_API"] = $"{cache.Url}/turbo", ["TURBO_TOKEN"] = team.Key, ["TURBO_TEAM"] = "acme", ["TURBO_REMOTE_CACHE_SIGNATURE_KEY"] = signatureKey,
        };
        using var workspace = await NodeWorkspace.OfTurboAsync(signed: signatureKey is not null);
        var cold = (await workspace.RunFreshAsync(["run", "build"], environment)).ShouldSucceed();
        cold.Output.ShouldContain("0 cached, 2 total");
        var built = workspace.Outputs();

        var hot = (await workspace.RunFreshAsync(["run", "build"], environment)).ShouldSucceed();

        hot.Output.ShouldContain("2 cached, 2 total");
        hot.Output.ShouldContain("FULL TURBO");
        workspace.Outputs().ShouldBe(built);
        if (signatureKey is not null)
        {
            // With another secret the tags don't fit: nothing is taken.
            environment["TURBO_REMOTE_CACHE_SIGNATURE_KEY"] = "another secret";
            (await workspace.RunFreshAsync(["run", "build"], environment)).ShouldSucceed().Output.ShouldContain("0 cached, 2 total");
        }
    }

    [Fact]
    public async Task Nx_restores_outputs_from_the_remote_cache()
    {
        var cache = await team.CacheAsync();
        Dictionary<string, string?> As(string key) => new() { ["NX_SELF_HOSTED_REMOTE_CACHE_SERVER"] = $"{cache.Url}/nx", ["NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"] = key };
        using var workspace = await NodeWorkspace.OfNxAsync();
        (await workspace.RunFreshAsync(["run-many", "-t", "build"], As(team.Key))).ShouldSucceed().Output.ShouldContain("0/2 hit");
        var built = workspace.Outputs();

        var hot = (await workspace.RunFreshAsync(["run-many", "-t", "build"], As(team.ReadOnlyKey))).ShouldSucceed();

        hot.Output.ShouldContain("2/2 hit");
        hot.Output.ShouldContain("remote cache");
        workspace.Outputs().ShouldBe(built);
    }

    [Fact]
    public async Task Gradle_takes_compiled_classes_from_the_cache()
    {
        var cache = await team.CacheAsync();
        using var gradle = new Gradle(new Uri($"{cache.Url}/gradle"), team.Key);
        (await gradle.CompileFreshAsync("class Lab { int five() { return 5; } }")).ShouldSucceed().Output.ShouldContain("1 executed");

        var hot = (await gradle.CompileFreshAsync("class Lab { int five() { return 5; } }")).ShouldSucceed();

        hot.Output.ShouldContain(":compileJava FROM-CACHE");
        hot.Output.ShouldContain("1 from cache");
    }

    [Fact]
    public async Task Gradle_goes_on_when_an_entry_is_too_large()
    {
        var cache = await team.CacheAsync(maxBlobBytes: 1 << 20);
        using var gradle = new Gradle(new Uri($"{cache.Url}/gradle"), team.Key);
        // Constants that can't be compressed below the limit; one may have 65,535 bytes.
        var text = string.Concat(Enumerable.Range(0, 40).Select(i => $"static final String S{i} = \"{Convert.ToBase64String(RandomNumberGenerator.GetBytes(45_000))}\"; "));

        for (var round = 0; round < 2; round++)
        {
            (await gradle.CompileFreshAsync($"class Lab {{ {text} }}")).ShouldSucceed().Output.ShouldContain("1 executed");
        }
    }

    [Fact]
    public async Task Go_builds_on_another_machine_from_what_the_first_one_compiled()
    {
        const string Program = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"six\") }\n";
        var cache = await team.CacheAsync();
        using var go = await Go.OfDebianAsync();
        var compiled = 0;
        foreach (var key in (string[])[team.Key, team.ReadOnlyKey])
        {
            // A folder of its own: another machine. -x shows what is compiled.
            var built = (await go.RunAsync(Program, ["run", "-x", "."], new Dictionary<string, string?>
            {
                ["GOCACHEPROG"] = $"{Programs.Cli} gocacheprog {cache.Name} --folder {go.EmptyFolder()}",
                ["SLIPWAY_URL"] = team.Server.Url.ToString(),
                ["SLIPWAY_TOKEN"] = key,
            })).ShouldSucceed();
            built.Output.ShouldBe("six\n");
            compiled = Regex.Count(built.Errors, @"(?m)/compile -o ");
            TestContext.Current.TestOutputHelper?.WriteLine($"{compiled} packages compiled");
            if (key == team.Key)
            {
                compiled.ShouldBeGreaterThan(20, "the standard library is compiled once: " + built.Errors);
            }
        }

        compiled.ShouldBe(0);
    }

    [Fact]
    public async Task Go_builds_when_the_server_refuses_and_says_why_once()
    {
        var cache = await team.CacheAsync();
        using var go = await Go.OfDebianAsync();
        var built = (await go.RunAsync("package main\n\nfunc main() { println(\"seven\") }\n", ["run", "."], new Dictionary<string, string?>
        {
            ["GOCACHEPROG"] = $"{Programs.Cli} gocacheprog {cache.Name} --folder {go.EmptyFolder()}",
            ["SLIPWAY_URL"] = team.Server.Url.ToString(),
            ["SLIPWAY_TOKEN"] = "not-a-key",
        })).ShouldSucceed();

        built.Errors.ShouldContain("seven");
        Regex.Count(built.Errors, "the build cache is not used").ShouldBe(1, built.Errors);
        built.Errors.ShouldContain("not a Slipway key");
    }
}
