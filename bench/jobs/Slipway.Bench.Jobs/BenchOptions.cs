using System.Globalization;
using Slipway.Queue;

namespace Slipway.Bench.Jobs;

/// <summary>The command line. See bench/jobs/README.md.</summary>
internal sealed record BenchOptions
{
    public string Redis { get; private init; } = "127.0.0.1:6379";

    public int Count { get; private init; } = 100_000;

    public string Mode { get; private init; } = "single";

    public double Rate { get; private init; } = 200;

    public int Concurrency { get; private init; } = 50;

    /// <summary>Empty, or 5ms: each job takes 5 ms.</summary>
    public string Variant { get; private init; } = "";

    public bool Latency { get; private init; }

    public Durability Durability { get; private init; }

    public double Seconds { get; private init; } = 5;

    public static BenchOptions Parse(ReadOnlySpan<string> args)
    {
        var options = new BenchOptions();
        for (var at = 0; at < args.Length; at++)
        {
            if (args[at] == "--latency")
            {
                options = options with { Latency = true };
                continue;
            }

            var (name, value) = at + 1 < args.Length ? (args[at], args[++at]) : throw new ArgumentException($"{args[at]} needs a value.");
            double Number() => double.Parse(value, CultureInfo.InvariantCulture);
            options = name switch
            {
                "--redis" => options with { Redis = value },
                "--count" => options with { Count = (int)Number() },
                "--mode" => options with { Mode = value },
                "--rate" => options with { Rate = Number() },
                "--concurrency" => options with { Concurrency = (int)Number() },
                "--variant" => options with { Variant = value },
                "--durability" => options with { Durability = Enum.Parse<Durability>(value, ignoreCase: true) },
                "--seconds" => options with { Seconds = Number() },
                _ => throw new ArgumentException($"unknown option {name}."),
            };
        }

        return options;
    }

    public Task<WorkQueue> ConnectAsync() => WorkQueue.ConnectAsync(Redis, queue => queue with
    {
        Queue = "bench",
        Concurrency = Concurrency,
        Json = JobJson.Default.Options,
        // A run of some seconds fills it with more than the default of a million.
        Broker = new BrokerOptions { Initial = new QueueSettings { MaxJobs = 100_000_000, MaxBytes = 20_000_000_000 } },
    });
}
