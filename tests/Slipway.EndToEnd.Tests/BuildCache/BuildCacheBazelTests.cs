using System.Diagnostics;
using Slipway.EndToEnd.Tests.BuildCache.Clients;

namespace Slipway.EndToEnd.Tests.BuildCache;

/// <summary>Bazel 4.2.3 and 2.1.0 with a remote cache over HTTP and over gRPC.</summary>
[Collection(BuildTeamCollection.Name)]
public sealed class BuildCacheBazelTests(BuildTeam team)
{
    /// <summary>
    /// Bazel 2.1.0 does not send the headers it is given with a gRPC cache: its key stands before the instance name. Over HTTP it sends them.
    /// </summary>
    public static TheoryData<string, string> Clients => new()
    {
        { "4.2.3", "http" }, { "2.1.0", "http" }, { "4.2.3", "grpc" }, { "2.1.0", "grpc-named" },
    };

    /// <summary>Over gRPC Bazel 2.1.0 falls over any call that fails (exit 37), whatever the server does.</summary>
    public static TheoryData<string, string> Survivors => new()
    {
        { "4.2.3", "http" }, { "2.1.0", "http" }, { "4.2.3", "grpc" },
    };

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Second_machine_gets_all_actions_and_test_results_from_the_cache(string version, string protocol)
    {
        var cache = await team.CacheAsync();
        var bazel = await Bazel.OfVersionAsync(version);
        await using (var first = BazelWorkspace.WithProgramAndTest(bazel, protocol))
        {
            var cold = await first.RunAsync("test", ["//..."], cache.BazelOptions(protocol, team.Key));
            cold.ShouldSucceed().Executed.ShouldBe(8, cold.Text);
            cold.Hits.ShouldBe(0, cold.Text);

            await first.CleanAsync();
            var again = await first.RunAsync("test", ["//..."], cache.BazelOptions(protocol, team.Key));
            again.ShouldSucceed().Hits.ShouldBe(8, again.Text);
            again.Executed.ShouldBe(0, again.Text);
            again.Text.ShouldContain("(cached) PASSED");
        }

        await using var second = BazelWorkspace.WithProgramAndTest(bazel, protocol);
        var elsewhere = await second.RunAsync("test", ["//..."], cache.BazelOptions(protocol, team.Key));
        elsewhere.ShouldSucceed().Hits.ShouldBe(8, elsewhere.Text);
        elsewhere.Executed.ShouldBe(0, elsewhere.Text);
        (await Running.Run.ProgramAsync(await second.OutputAsync("hello"), [])).ShouldSucceed().Output.ShouldBe($"hello {protocol}\n");
    }

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Failing_compile_fails_each_time_and_what_is_mended_is_built(string version, string protocol)
    {
        var cache = await team.CacheAsync();
        await using var workspace = BazelWorkspace.WithProgramAndTest(await Bazel.OfVersionAsync(version), protocol + "-failing");
        workspace.Write("workspace/hello.cc", "int main() { return no_such_thing; }\n");
        for (var round = 0; round < 2; round++)
        {
            var failed = await workspace.RunAsync("build", ["//..."], [.. cache.BazelOptions(protocol, team.Key), "--keep_going"]);
            failed.ShouldFail().Ran.ExitCode.ShouldBe(1, failed.Text);
            failed.Text.ShouldContain("no_such_thing");
            await workspace.CleanAsync();
        }

        workspace.Write("workspace/hello.cc", "int main() { return 0; }\n");
        var mended = await workspace.RunAsync("build", ["//..."], cache.BazelOptions(protocol, team.Key));
        mended.ShouldSucceed().Executed.ShouldBe(2, "compile and link of hello: " + mended.Text);
        mended.Hits.ShouldBe(4, "two compiles of the library, its archive and the generated file: " + mended.Text);
    }

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Minimal_download_leaves_outputs_on_the_server(string version, string protocol)
    {
        var cache = await team.CacheAsync();
        await using var workspace = BazelWorkspace.WithProgramAndTest(await Bazel.OfVersionAsync(version), protocol + "-minimal");
        (await workspace.RunAsync("build", ["//..."], cache.BazelOptions(protocol, team.Key))).ShouldSucceed();
        var output = await workspace.OutputAsync("hello");
        File.Exists(output).ShouldBeTrue();
        await workspace.CleanAsync();

        var minimal = await workspace.RunAsync("build", ["//..."], [.. cache.BazelOptions(protocol, team.Key), "--remote_download_minimal"]);

        minimal.ShouldSucceed().Executed.ShouldBe(0, minimal.Text);
        minimal.Hits.ShouldBe(6, minimal.Text);
        File.Exists(output).ShouldBeFalse(minimal.Text);
    }

    [Theory]
    [MemberData(nameof(Survivors))]
    public async Task Server_killed_in_mid_build_costs_hits_and_not_the_build(string version, string protocol)
    {
        const int Steps = 40;
        var cache = await team.CacheAsync();
        await using var workspace = new BazelWorkspace(await Bazel.OfVersionAsync(version));
        // A chain of pairs: the build is in the middle of its actions when the server goes.
        workspace.Write("workspace/BUILD", $"""
            [genrule(name = "step%d" % i, srcs = ["seed.txt"] if i < 2 else [":step%d" % (i - 2)], outs = ["step%d.txt" % i], cmd = "sleep 0.1; (cat $<; echo {protocol} %d) >$@" % i) for i in range({Steps})]

            """);
        workspace.Write("workspace/seed.txt", "seed\n");

        var building = workspace.RunAsync("build", ["//..."], [.. cache.BazelOptions(protocol, team.Key), "--remote_retries=1", "--remote_timeout=5"]);
        await Eventually.TrueAsync(() => File.Exists(workspace.Built("step4.txt")) || building.IsCompleted, TestContext.Current.CancellationToken, TimeSpan.FromSeconds(60));
        await team.Server.KillAsync();
        BazelRun built;
        try
        {
            built = await building;
        }
        finally
        {
            await team.Server.StartAgainAsync();
        }

        built.ShouldSucceed().Executed.ShouldBe(Steps, built.Text);
        await workspace.CleanAsync();
        var again = await workspace.RunAsync("build", ["//..."], cache.BazelOptions(protocol, team.Key));
        again.ShouldSucceed();
        (again.Hits + again.Executed).ShouldBe(Steps, again.Text);
        again.Hits.ShouldBeGreaterThan(0, "what was acknowledged before the kill is here: " + again.Text);
        again.Executed.ShouldBeGreaterThan(0, "the kill came too late to show anything: " + again.Text);
    }

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Eleven_thousand_small_outputs_go_up_and_come_back(string version, string protocol)
    {
        var cache = await team.CacheAsync();
        await using var workspace = new BazelWorkspace(await Bazel.OfVersionAsync(version));
        // As in bazelbuild/bazel#14513: 11,000 files, 21 MB.
        workspace.Write("workspace/BUILD", """
            genrule(
                name = "many",
                outs = ["many/%d.txt" % i for i in range(11000)],
                cmd = "seq 0 10999 | awk -v d=$(RULEDIR)/many '{ f = d \"/\" $$0 \".txt\"; for (n = 0; n < 100; n++) printf \"%18d\\n\", $$0 * 1000 + n > f; close(f) }'",
            )

            """);

        var up = Stopwatch.StartNew();
        var cold = await workspace.RunAsync("build", ["//:many"], cache.BazelOptions(protocol, team.Key));
        up.Stop();
        cold.ShouldSucceed().Executed.ShouldBe(1, cold.Text);
        cold.Text.ShouldNotContain("WARNING: Writing to Remote Cache");
        await workspace.CleanAsync();
        var down = Stopwatch.StartNew();
        var hot = await workspace.RunAsync("build", ["//:many"], cache.BazelOptions(protocol, team.Key));
        down.Stop();

        hot.ShouldSucceed().Hits.ShouldBe(1, hot.Text);
        File.ReadAllText(await workspace.OutputAsync("many/10999.txt")).Length.ShouldBe(1900);
        TestContext.Current.TestOutputHelper?.WriteLine($"Bazel {version}, {protocol}: 11,000 outputs up in {up.Elapsed.TotalSeconds:0.0} s, down in {down.Elapsed.TotalSeconds:0.0} s");
    }

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Key_that_may_only_read_gets_hits_builds_the_rest_and_changes_nothing(string version, string protocol)
    {
        var cache = await team.CacheAsync();
        await using var workspace = BazelWorkspace.WithProgramAndTest(await Bazel.OfVersionAsync(version), protocol + "-reader");
        (await workspace.RunAsync("build", ["//:shout"], cache.BazelOptions(protocol, team.Key))).ShouldSucceed();
        for (var round = 0; round < 2; round++)
        {
            await workspace.CleanAsync();
            var reader = await workspace.RunAsync("build", ["//:shout", "//:hello"], cache.BazelOptions(protocol, team.ReadOnlyKey));
            reader.ShouldSucceed().Hits.ShouldBe(1, $"round {round}: {reader.Text}");
            reader.Executed.ShouldBe(3, $"round {round}: {reader.Text}");
        }
    }

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Wrong_key_is_told_by_bazel_in_our_words(string version, string protocol)
    {
        var cache = await team.CacheAsync();
        await using var workspace = BazelWorkspace.WithProgramAndTest(await Bazel.OfVersionAsync(version), protocol + "-stranger");

        var refused = await workspace.RunAsync("build", ["//:shout"], cache.BazelOptions(protocol, "slp_not-a-key"));

        refused.Text.ShouldContain("not a Slipway key");
        // Over HTTP Bazel warns and builds without. Over gRPC 4.2.3 asks for the server's capabilities first and ends; 2.1.0 does not ask, and falls
        // over the first call that is refused.
        refused.Ran.ExitCode.ShouldBe(protocol switch { "http" => 0, "grpc" => 34, _ => 37 }, refused.Text);
    }
}
