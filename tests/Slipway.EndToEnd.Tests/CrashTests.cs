using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>
/// SIGKILL of the server at random moments of pushes. <c>SLIPWAY_TEST_KILLS</c> sets how many; the moments come from a seed that
/// a failure names.
/// </summary>
public sealed class CrashTests(NixLab nix) : IClassFixture<NixLab>
{
    private static readonly int Kills = int.Parse(Environment.GetEnvironmentVariable("SLIPWAY_TEST_KILLS") ?? "4", System.Globalization.CultureInfo.InvariantCulture);

    [Fact]
    public async Task Killed_in_the_middle_of_pushes_the_server_serves_no_half_path_and_the_next_push_completes()
    {
        NixLab.RequireNix();
        var seed = Environment.TickCount;
        var random = new Random(seed);
        var acme = new Acme();
        await acme.InitializeAsync();
        await using var server = acme.Server;
        for (var kill = 0; kill < Kills; kill++)
        {
            var cache = await acme.CacheAsync($"killed-{kill}");
            // Alternately the stock client and ours: they end at different places of the server.
            var push = kill % 2 == 0
                ? nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Tree, "--option", "stalled-download-timeout", "5", "--option", "download-attempts", "1"], nix.Netrc(acme.Key))
                : server.CliAsync(acme.Key, ["push", cache.Name, nix.Tree], nix.Environment);
            await SomewhereInAsync(push, TimeSpan.FromMilliseconds(random.Next(50, 2500)));
            await server.KillAsync();
            await push;
            await server.StartAgainAsync();

            var report = await acme.FsckAsync();
            report["clean"]!.GetValue<bool>().ShouldBeTrue($"seed {seed}, kill {kill}: {report}");
            await ShouldServeWholePathsAsync(cache, $"seed {seed}, kill {kill}");

            (await server.CliAsync(acme.Key, ["push", cache.Name, nix.Tree], nix.Environment)).ShouldSucceed();
            (await nix.NixAsync("nix", "path-info", "-r", "--store", cache.Url.ToString(), nix.Tree)).ShouldSucceed()
                .Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(2001, $"seed {seed}, kill {kill}");
        }
    }

    /// <summary>The moment is what the test varies: there is nothing to wait for but time, or the push ending first.</summary>
    private static async Task SomewhereInAsync(Task push, TimeSpan moment)
    {
        using var timer = new PeriodicTimer(moment);
        await Task.WhenAny(push, timer.WaitForNextTickAsync(TestContext.Current.CancellationToken).AsTask());
    }

    /// <summary>Every path the cache lists has its narinfo, its NAR, and its references.</summary>
    private async Task ShouldServeWholePathsAsync(NixCacheUnderTest cache, string when)
    {
        var listed = (await nix.NixAsync("nix", "path-info", "-r", "--store", cache.Url.ToString(), nix.Tree)).ExitCode == 0;
        if (listed)
        {
            // The top is there, so everything below it must be: reading all NARs proves it.
            (await nix.NixAsync("nix", "store", "verify", "-r", "--store", cache.Url.ToString(), nix.Tree, "--option", "trusted-public-keys", cache.PublicKey))
                .ExitCode.ShouldBe(0, when);
        }
    }
}
