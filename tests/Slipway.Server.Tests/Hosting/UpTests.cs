using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Hosting;

/// <summary><c>slipway up</c> as a process of its own, with its own engines.</summary>
[Trait("speed", "slow")]
public sealed partial class UpTests
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Up_serves_prints_where_stops_on_sigterm_and_starts_again()
    {
        using var folder = new TempFolder();
        var first = await RunningUp.StartAsync(folder.Path);
        string token;
        await using (first)
        {
            first.Banner.ShouldContain($"./slipway login --token-stdin < {folder.Path}/admin-token");
            first.Banner.ShouldContain("./slipway org create acme");
            first.Banner.ShouldContain("./slipway cache create acme/main");
            first.Banner.ShouldNotContain("\x1b");
            File.GetUnixFileMode(folder.File("admin-token")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
            token = (await File.ReadAllTextAsync(folder.File("admin-token"), CancellationToken)).Trim();
            using (var client = first.Client(token))
            {
                (await client.GetAsync("/readyz", CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
                using var me = JsonDocument.Parse(await client.GetStringAsync("/v1/whoami", CancellationToken));
                me.RootElement.GetProperty("name").GetString().ShouldBe("admin");
            }

            var second = await RunningUp.RunAsync("up", "--http", "127.0.0.1:0", "--data", folder.Path);
            second.ExitCode.ShouldBe(1);
            second.Error.ShouldContain("in use by another slipway server");

            (await first.TerminateAsync()).ShouldBe(0);
        }

        // Every line of stdout is a JSON object, and none holds the token.
        var lines = first.Log;
        lines.ShouldNotBeEmpty();
        foreach (var line in lines)
        {
            using var entry = JsonDocument.Parse(line);
            entry.RootElement.GetProperty("level").GetString().ShouldNotBeNull();
            line.ShouldNotContain(token);
        }

        var access = lines.Select(line => JsonDocument.Parse(line).RootElement).First(entry => entry.GetProperty("message").GetString()!.Contains("/v1/whoami", StringComparison.Ordinal));
        access.GetProperty("requestId").GetString()!.ShouldStartWith("req_");
        access.GetProperty("traceId").GetString()!.Length.ShouldBe(32);
        access.GetProperty("spanId").GetString()!.Length.ShouldBe(16);
        lines[^1].ShouldContain("\"stopped\"");

        await using var again = await RunningUp.StartAsync(folder.Path);
        using (var client = again.Client(token))
        {
            (await client.GetAsync("/v1/whoami", CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
        }

        (await again.TerminateAsync()).ShouldBe(0);
    }

    private sealed partial class RunningUp : IAsyncDisposable
    {
        private readonly Process process;
        private readonly List<string> log = [];
        private Task reading = Task.CompletedTask;

        private RunningUp(Process process) => this.process = process;

        public string Banner { get; private set; } = "";

        public Uri Url { get; private set; } = null!;

        public IReadOnlyList<string> Log => log;

        public static async Task<RunningUp> StartAsync(string folder)
        {
            var up = new RunningUp(Start("up", "--http", "127.0.0.1:0", "--data", folder));
            up.reading = up.ReadLogAsync();
            while (await up.process.StandardError.ReadLineAsync(CancellationToken) is { } line)
            {
                up.Banner += line + "\n";
                if (line.Contains("cache create", StringComparison.Ordinal))
                {
                    break;
                }
            }

            var url = ServedUrl().Match(up.Banner);
            url.Success.ShouldBeTrue(up.Banner);
            up.Url = new Uri(url.Value);
            return up;
        }

        public static async Task<(int ExitCode, string Error)> RunAsync(params string[] arguments)
        {
            using var process = Start(arguments);
            var output = process.StandardOutput.ReadToEndAsync(CancellationToken);
            var error = await process.StandardError.ReadToEndAsync(CancellationToken);
            await output;
            await process.WaitForExitAsync(CancellationToken);
            return (process.ExitCode, error);
        }

        public HttpClient Client(string token) => new()
        {
            BaseAddress = Url,
            DefaultRequestHeaders = { Authorization = new AuthenticationHeaderValue("Bearer", token) },
        };

        public async Task<int> TerminateAsync()
        {
            using var kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]);
            await kill.WaitForExitAsync(CancellationToken);
            await process.WaitForExitAsync(CancellationToken);
            await reading;
            return process.ExitCode;
        }

        public async ValueTask DisposeAsync()
        {
            if (!process.HasExited)
            {
                await TerminateAsync();
            }

            process.Dispose();
        }

        private async Task ReadLogAsync()
        {
            while (await process.StandardOutput.ReadLineAsync(CancellationToken) is { } line)
            {
                log.Add(line);
            }
        }

        private static Process Start(params string[] arguments)
        {
            var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Slipway.Server"), arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            start.Environment["XDG_CONFIG_HOME"] = "/nonexistent";
            return Process.Start(start)!;
        }

        [GeneratedRegex(@"http://127\.0\.0\.1:\d+")]
        private static partial Regex ServedUrl();
    }
}
