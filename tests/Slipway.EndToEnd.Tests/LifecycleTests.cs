using System.Globalization;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>Starting, stopping, and dying of the server and of what it starts.</summary>
public sealed class LifecycleTests
{
    [Fact]
    public async Task Sigterm_stops_everything_it_started_and_ends_well()
    {
        await using var server = await SlipwayServer.StartAsync();
        Engines(server).Count.ShouldBe(2, server.Log());

        (await server.StopAsync()).ShouldBe(0, server.Log());

        Engines(server).ShouldBeEmpty();
    }

    [Fact]
    public async Task Killed_server_finds_its_engines_again_and_does_not_double_them()
    {
        await using var server = await SlipwayServer.StartAsync();
        var token = server.AdminToken;
        var before = Engines(server);

        await server.KillAsync();
        await server.StartAgainAsync();

        Engines(server).Order().ShouldBe(before.Order());
        server.AdminToken.ShouldBe(token);
        (await server.CliAsync("whoami")).ShouldSucceed().Output.ShouldContain("admin");
    }

    [Theory]
    [InlineData("postgres")]
    [InlineData("redis-server")]
    public async Task Killed_engine_is_started_again_and_the_server_recovers(string engine)
    {
        await using var server = await SlipwayServer.StartAsync();
        var killed = Engines(server).Single(process => process.Name == engine);

        await Run.ProgramAsync("kill", ["-KILL", killed.Id.ToString(CultureInfo.InvariantCulture)]);

        await Eventually.TrueAsync(
            () => Engines(server).Any(process => process.Name == engine && process.Id != killed.Id), TestContext.Current.CancellationToken, TimeSpan.FromSeconds(30));
        using var client = server.Client();
        await Eventually.TrueAsync(
            async token =>
            {
                using var ready = await client.GetAsync(new Uri("/readyz", UriKind.Relative), token);
                return ready.IsSuccessStatusCode;
            }, TestContext.Current.CancellationToken, TimeSpan.FromSeconds(30));
        (await server.CliAsync("org", "create", "after-" + engine)).ShouldSucceed();
    }

    [Fact]
    public async Task Second_server_on_the_same_folder_is_refused_with_the_reason()
    {
        await using var server = await SlipwayServer.StartAsync();

        var second = await Run.ProgramAsync(Programs.Server, ["up", "--data", server.DataFolder, "--http", "127.0.0.1:0"]);

        second.ShouldFail().Errors.ShouldContain(server.DataFolder);
        Engines(server).Count.ShouldBe(2);
    }

    /// <summary>The postmaster and the redis-server whose command line names the server's data folder.</summary>
    private static List<(int Id, string Name)> Engines(SlipwayServer server)
    {
        var engines = new List<(int, string)>();
        foreach (var folder in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                continue;
            }

            try
            {
                var command = File.ReadAllText(Path.Combine(folder, "cmdline")).Split('\0');
                var name = File.ReadAllText(Path.Combine(folder, "comm")).Trim();
                var mine = command.Any(argument => argument.Contains(server.DataFolder, StringComparison.Ordinal))
                    || (name == "redis-server" && File.ResolveLinkTarget(Path.Combine(folder, "cwd"), false)?.FullName.StartsWith(server.DataFolder, StringComparison.Ordinal) == true);
                if (mine && name is ("postgres" or "redis-server"))
                {
                    engines.Add((id, name));
                }
            }
            catch (IOException)
            {
                // Ended while we looked.
            }
        }

        return engines;
    }
}
