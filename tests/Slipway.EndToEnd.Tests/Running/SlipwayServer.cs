using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Slipway.EndToEnd.Tests.Running;

/// <summary>The real server program in a folder of its own, with its own PostgreSQL and Redis. Can be killed and started again.</summary>
internal sealed partial class SlipwayServer : IAsyncDisposable
{
    private readonly TempFolder folder = new();
    private readonly string[] settings;
    private Process? process;

    private SlipwayServer(string[] settings)
    {
        this.settings = settings;
        // Chosen once, so that clients and their caches find the server again after a restart.
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        using var grpcListener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        grpcListener.Start();
        Port = ((IPEndPoint)listener.LocalEndpoint).Port;
        GrpcPort = ((IPEndPoint)grpcListener.LocalEndpoint).Port;
    }

    public int Port { get; }

    /// <summary>gRPC without TLS: <c>grpc://127.0.0.1:{GrpcPort}</c>.</summary>
    public int GrpcPort { get; }

    public Uri Url => new($"http://127.0.0.1:{Port}");

    public string DataFolder => Path.Combine(folder.Path, "data");

    public string AdminToken => File.ReadAllText(Path.Combine(DataFolder, "admin-token")).Trim();

    public int ProcessId => process!.Id;

    public static async Task<SlipwayServer> StartAsync(params string[] settings)
    {
        var server = new SlipwayServer(settings);
        try
        {
            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async Task StartAgainAsync()
    {
        process?.Dispose();
        var start = new ProcessStartInfo(Programs.Server, ["up", "--data", DataFolder, "--http", $"127.0.0.1:{Port}", "--grpc", $"127.0.0.1:{GrpcPort}", "--log-format", "json", .. settings.SelectMany(setting => (string[])["--set", setting])])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            // Tests kill it: then nobody takes the sockets of its debugger away.
            Environment = { ["DOTNET_EnableDiagnostics"] = "0" },
        };
        process = Process.Start(start)!;
        var log = File.AppendText(folder.File("server.log"));
        _ = Task.WhenAll(CopyAsync(process.StandardOutput, log), CopyAsync(process.StandardError, log));
        using var http = new HttpClient();
        await Eventually.TrueAsync(async token =>
        {
            if (process.HasExited)
            {
                throw new InvalidOperationException("The server ended: " + Log());
            }

            using var answer = await http.GetAsync(new Uri(Url, "/readyz"), token);
            return answer.IsSuccessStatusCode;
        }, TestContext.Current.CancellationToken, TimeSpan.FromSeconds(60));
    }

    /// <summary>SIGKILL: no goodbye. PostgreSQL and Redis live on, as they would.</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>SIGTERM, and the exit code.</summary>
    public async Task<int> StopAsync()
    {
        if (process is { HasExited: false })
        {
            await Run.ProgramAsync("kill", ["-TERM", ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            await process.WaitForExitAsync(patience.Token);
        }

        return process!.ExitCode;
    }

    public string Log() => File.Exists(folder.File("server.log")) ? File.ReadAllText(folder.File("server.log")) : "";

    /// <summary>The most memory the server process has had resident since it started, in bytes.</summary>
    public long PeakMemory() =>
        long.Parse(PeakLine().Match(File.ReadAllText($"/proc/{ProcessId}/status")).Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) * 1024;

    public HttpClient Client(string? token = null)
    {
        var client = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromMinutes(2) };
        client.DefaultRequestHeaders.Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    /// <summary>The CLI, signed in as the admin.</summary>
    public Task<Ran> CliAsync(params string[] arguments) => CliAsync(AdminToken, arguments);

    public Task<Ran> CliAsync(string token, string[] arguments, IReadOnlyDictionary<string, string?>? environment = null) =>
        Run.ProgramAsync(Programs.Cli, arguments, new Dictionary<string, string?>(environment ?? new Dictionary<string, string?>())
        {
            ["SLIPWAY_URL"] = Url.ToString(),
            ["SLIPWAY_TOKEN"] = token,
            ["XDG_CONFIG_HOME"] = folder.Folder("config"),
        });

    public async ValueTask DisposeAsync()
    {
        try
        {
            if (process is { HasExited: true })
            {
                // Its engines are orphans now; a server that comes back takes them along when it stops.
                await StartAgainAsync();
            }

            await StopAsync();
        }
        finally
        {
            process?.Dispose();
            folder.Dispose();
        }
    }

    private static async Task CopyAsync(StreamReader from, StreamWriter to)
    {
        while (await from.ReadLineAsync() is { } line)
        {
            lock (to)
            {
                to.WriteLine(line);
                to.Flush();
            }
        }
    }

    [GeneratedRegex(@"^VmHWM:\s+(\d+) kB", RegexOptions.Multiline)]
    private static partial Regex PeakLine();
}

/// <summary>The programs as the build left them.</summary>
internal static class Programs
{
    public static string Server { get; } = Find("Slipway.Server", "Slipway.Server");

    public static string Cli { get; } = Find("Slipway.Cli", "slipway");

    /// <summary>Beside this test program, in the same configuration.</summary>
    private static string Find(string project, string program)
    {
        var configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        return Path.Combine(Repo.Root, "artifacts", "bin", project, configuration, program);
    }
}
