using System.Diagnostics;
using System.Text.Json;
using Shouldly;
using Slipway.Server.Commands;
using Xunit;

namespace Slipway.Server.Tests.Configuration;

public sealed class CommandLineTests
{
    [Theory]
    [InlineData("upp", "did you mean up?")]
    [InlineData("up --htpp 1", "did you mean --http?")]
    [InlineData("up --http", "needs a value")]
    [InlineData("up --set novalue", "KEY=VALUE")]
    [InlineData("up extra", "takes nothing called extra")]
    [InlineData("config", "say what to do")]
    [InlineData("config chekc", "did you mean config check?")]
    [InlineData("config check", "needs the path")]
    [InlineData("", "say what to do")]
    public void A_line_that_makes_no_sense_says_why(string line, string words) =>
        CommandLine.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Error.ShouldNotBeNull().ShouldContain(words);

    [Theory]
    [InlineData("up --http 127.0.0.1:0 --data=/tmp/x --set log.level=debug")]
    [InlineData("up --help")]
    [InlineData("config check --help")]
    [InlineData("--help")]
    [InlineData("--version")]
    public void A_line_that_makes_sense_has_no_error(string line) => CommandLine.Parse(line.Split(' ')).Error.ShouldBeNull();

    [Fact]
    public async Task Faults_exit_with_2_and_go_to_stderr()
    {
        var (exitCode, output, error) = await RunAsync("up", "--http", "nowhere", "--set", "log.levle=debug");

        exitCode.ShouldBe(2);
        output.ShouldBeEmpty();
        error.ShouldContain("2 faults");
        error.ShouldContain("did you mean log.level?");
        error.ShouldContain("http.listen = \"nowhere\"");
        error.ShouldNotContain("\x1b");
    }

    [Fact]
    public async Task Config_show_prints_json_with_origins_and_masks()
    {
        var (exitCode, output, _) = await RunAsync("config", "show", "--json", "--set", "redis.url=redis://u:hunter2@h:1");

        exitCode.ShouldBe(0);
        output.ShouldNotContain("hunter2");
        var redis = JsonDocument.Parse(output).RootElement.EnumerateArray().Single(value => value.GetProperty("key").GetString() == "redis.url");
        redis.GetProperty("origin").GetString().ShouldBe("--set");
        redis.GetProperty("value").GetString().ShouldBe("********");
    }

    [Fact]
    public async Task Config_explain_tells_type_range_variable_and_current_value()
    {
        var (exitCode, output, _) = await RunAsync("config", "explain", "http.listen", "--http", "127.0.0.1:9");

        exitCode.ShouldBe(0);
        output.ShouldContain("SLIPWAY__HTTP__LISTEN");
        output.ShouldContain("127.0.0.1:9  (--http)");
        (await RunAsync("config", "explain", "http.listn")).Error.ShouldContain("did you mean http.listen?");
    }

    [Fact]
    public async Task Config_check_passes_a_good_file_and_fails_a_bad_one()
    {
        var path = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(path, "http:\n  listen: 127.0.0.1:1\n", TestContext.Current.CancellationToken);
            (await RunAsync("config", "check", path)).ExitCode.ShouldBe(0);

            await File.WriteAllTextAsync(path, "http:\n  listn: 127.0.0.1:1\n", TestContext.Current.CancellationToken);
            var (exitCode, output, _) = await RunAsync("config", "check", path, "--json");
            exitCode.ShouldBe(2);
            JsonDocument.Parse(output).RootElement.GetProperty("faults")[0].GetProperty("origin").GetString().ShouldBe(path + ":2");
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static async Task<(int ExitCode, string Output, string Error)> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Slipway.Server"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["XDG_CONFIG_HOME"] = "/nonexistent";
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }
}
