using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.Jobs;

/// <summary>A server with an org, where each test makes queues of its own.</summary>
public sealed class JobsLab : IAsyncLifetime
{
    private int queues;

    internal SlipwayServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Server = await SlipwayServer.StartAsync("limits.requestsPerMinute=1000000");
        (await Server.CliAsync("org", "create", "acme")).ShouldSucceed();
    }

    internal async Task<string> QueueAsync(params string[] options)
    {
        var queue = string.Create(CultureInfo.InvariantCulture, $"acme/q-{Interlocked.Increment(ref queues)}");
        (await CliAsync(["queue", "create", queue, "--max-bytes", "1MiB", .. options])).ShouldSucceed();
        return queue;
    }

    /// <summary><c>slipway jobs …</c></summary>
    internal Task<Ran> CliAsync(params string[] arguments) => Server.CliAsync(["jobs", .. arguments]);

    internal Task<Ran> CliAsync(string input, string[] arguments) => Run.ProgramAsync(Programs.Cli, ["jobs", .. arguments], Environment, input);

    internal async Task<string> EnqueueAsync(string queue, string payload, params string[] options) =>
        (await CliAsync(payload, ["enqueue", queue, "--type", "test", "--file", "-", "--quiet", .. options])).ShouldSucceed().Output.Trim();

    internal async Task<JsonObject> StatsAsync(string queue) => JsonNode.Parse((await CliAsync("stats", queue, "--json")).ShouldSucceed().Output)!.AsObject();

    internal async Task<JsonObject> StatusAsync(string queue, string id) => JsonNode.Parse((await CliAsync("status", queue, id, "--json")).ShouldSucceed().Output)!.AsObject();

    internal RunningCli Start(params string[] arguments) => new(["jobs", .. arguments], Environment);

    internal Dictionary<string, string?> Environment => new(StringComparer.Ordinal)
    {
        ["SLIPWAY_URL"] = Server.Url.ToString(), ["SLIPWAY_TOKEN"] = Server.AdminToken, ["SLIPWAY_ORG"] = "acme", ["XDG_CONFIG_HOME"] = "/nonexistent",
    };

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}

/// <summary>The CLI at work, with the JSON lines it printed so far.</summary>
internal sealed class RunningCli : IAsyncDisposable
{
    private readonly Process process;
    private readonly List<JsonObject> lines = [];
    private readonly List<string> errors = [];
    private readonly Task reading;

    public RunningCli(string[] arguments, IReadOnlyDictionary<string, string?> environment)
    {
        var start = new ProcessStartInfo(Programs.Cli, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        process = Process.Start(start)!;
        process.StandardInput.Close();
        reading = Task.WhenAll(ReadAsync(process.StandardOutput, line => lines.Add(JsonNode.Parse(line)!.AsObject())), ReadAsync(process.StandardError, errors.Add));
    }

    public int Id => process.Id;

    public IReadOnlyList<JsonObject> Lines
    {
        get
        {
            lock (lines)
            {
                return [.. lines];
            }
        }
    }

    public Task<JsonObject> EventAsync(string kind, TimeSpan? within = null) =>
        Eventually.ValueAsync(
            _ =>
            {
                var ended = process.HasExited && reading.IsCompleted;
                var found = Lines.FirstOrDefault(line => (string?)line["event"] == kind);
                return found is null && ended ? throw new InvalidOperationException($"it ended with {process.ExitCode}: {this}") : Task.FromResult(found);
            },
            TestContext.Current.CancellationToken, within, $"event {kind}");

    /// <summary>Sends a signal to it alone.</summary>
    public async Task SignalAsync(string signal) => (await Run.ProgramAsync("kill", [$"-{signal}", Id.ToString(CultureInfo.InvariantCulture)])).ShouldSucceed();

    public async Task<int> EndAsync()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromSeconds(60));
        await process.WaitForExitAsync(patience.Token);
        await reading;
        return process.ExitCode;
    }

    public override string ToString()
    {
        lock (lines)
        {
            return string.Join('\n', lines.Select(line => line.ToJsonString()).Concat(errors));
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }

        process.Dispose();
    }

    private async Task ReadAsync(StreamReader from, Action<string> add)
    {
        while (await from.ReadLineAsync() is { } line)
        {
            lock (lines)
            {
                add(line);
            }
        }
    }
}
