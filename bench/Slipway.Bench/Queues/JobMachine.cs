using System.Text.Json.Nodes;

namespace Slipway.Bench.Queues;

/// <summary>Where and with what it was measured.</summary>
/// <param name="Versions">Of the systems, Redis and the language runtimes.</param>
internal sealed record JobMachine(DateTime Time, string Processor, int Cores, string Load, IReadOnlyList<(string Name, string Version)> Versions, int Rounds, double Seconds)
{
    public static async Task<JobMachine> ReadAsync(JobBenchOptions options, CancellationToken cancellationToken)
    {
        await using var redis = await PrivateRedis.StartAsync("no", options.Data, cancellationToken);
        var versions = new List<(string, string)> { ("redis", redis.Probe.Version) };
        foreach (var system in JobSystems.All.Where(system => options.Systems.Contains(system.Name)))
        {
            versions.Add((system.Name, await VersionAsync(system.Name, options.Root)));
        }

        return new JobMachine(DateTime.UtcNow, Report.Processor(), Environment.ProcessorCount, Report.Load(), versions, options.Rounds, options.Seconds);
    }

    private static async Task<string> VersionAsync(string system, string root)
    {
        string Module(string name) => JsonNode.Parse(
            File.ReadAllText(Path.Combine(root, $"bench/jobs/peers/bullmq/node_modules/{name}/package.json")))!["version"]!.GetValue<string>();
        async Task<string> Debian(string package) => (await Shell.RunAsync("dpkg-query", ["-W", "-f", "${Version}", package])).Split(['-', '+'])[0];
        // "ruby 3.1.2p20 (…", "Python 3.11.2"
        async Task<string> Runtime(string program) => (await Shell.RunAsync(program, ["--version"])).Trim().Split(' ') is [_, var version, ..] ? version : "";
        return system switch
        {
            "bullmq" => $"{Module("bullmq")} (ioredis {Module("ioredis")}, node {(await Shell.RunAsync("node", ["--version"])).Trim().TrimStart('v')})",
            "sidekiq" => $"{await Debian("ruby-sidekiq")} (ruby {await Runtime("/usr/bin/ruby")})",
            "rq" => $"{await Debian("python3-rq")} (python {await Runtime("/usr/bin/python3")})",
            "celery" => $"{await Debian("python3-celery")} (python {await Runtime("/usr/bin/python3")})",
            _ => $"this checkout (.NET {Environment.Version})",
        };
    }
}
