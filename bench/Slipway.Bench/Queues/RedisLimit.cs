using System.Globalization;

namespace Slipway.Bench.Queues;

/// <summary>
/// What Redis itself can do on this machine: redis-benchmark with the commands no queue on Redis can do without, payloads of 80 bytes and 50
/// connections.
/// </summary>
internal sealed class RedisLimit(string aof, string dataFolder)
{
    private const int Connections = 50;

    private static readonly string Payload = new('x', 80);

    /// <summary>Name, commands in flight per connection, jobs per command, the command, and about how many jobs a second it does.</summary>
    private static readonly (string Name, int Pipeline, int Jobs, string[] Command, int PerSecond)[] Loads =
    [
        ("LPUSH, 1 in flight", 1, 1, ["LPUSH", "bench", Payload], 75_000),
        ("RPOP, 1 in flight", 1, 1, ["RPOP", "bench"], 75_000),
        ("LPUSH, 50 in flight", 50, 1, ["LPUSH", "bench", Payload], 600_000),
        ("RPOP, 50 in flight", 50, 1, ["RPOP", "bench"], 550_000),
        ("LPUSH of 100", 4, 100, ["LPUSH", "bench", .. Enumerable.Repeat(Payload, 100)], 2_000_000),
        ("RPOP of 100", 4, 100, ["RPOP", "bench", "100"], 2_000_000),
    ];

    public static IReadOnlyList<string> Names { get; } = [.. Loads.Select(load => load.Name)];

    public async Task<IReadOnlyList<JobResult>> MeasureAsync(double seconds, CancellationToken cancellationToken)
    {
        await using var redis = await PrivateRedis.StartAsync(aof, dataFolder, cancellationToken);
        var results = new List<JobResult>();
        foreach (var (_, pipeline, jobs, command, perSecond) in Loads)
        {
            // What a pop shall find; ten times slower where each turn waits for the disk.
            var count = (int)(perSecond * seconds / (aof == "always" ? 10 : 1)) / jobs / Connections * Connections;
            redis.Probe.Send("DEL", "bench");
            for (var pushed = 0; command[0] == "RPOP" && pushed < count * jobs; pushed += 1000)
            {
                redis.Probe.Send(["LPUSH", "bench", .. Enumerable.Repeat(Payload, 1000)]);
            }

            var (before, foreign) = (redis.Probe.Sample(), new ForeignCpu());
            var output = await Shell.RunAsync("redis-benchmark",
                ["-h", "127.0.0.1", "-p", Text(redis.Port), "-c", Text(Connections), "-P", Text(pipeline), "-n", Text(count), "--csv", .. command]);
            var (share, after) = (foreign.Share(), redis.Probe.Sample());
            // "test","rps",… and a line with the figures.
            var rate = double.Parse(output.Trim().Split('\n')[^1].Split("\",\"")[1], CultureInfo.InvariantCulture);
            var done = (double)count * jobs;
            results.Add(new JobResult(rate * jobs, (after.CpuSeconds - before.CpuSeconds) * 1e6 / done, 0, (after.Commands - before.Commands) / done, null, [], share));
        }

        return results;
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
