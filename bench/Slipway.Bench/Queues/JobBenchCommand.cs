using System.Globalization;
using System.Runtime.InteropServices;

namespace Slipway.Bench.Queues;

/// <summary>The command line of bench/jobs/run.</summary>
internal static class JobBenchCommand
{
    private static readonly string[] EveryAof = ["no", "everysec", "always"];
    private static readonly string[] EveryWhat = ["enqueue", "process", "memory", "latency", "handler", "idle", "starvation", "soak", "limit"];

    public static async Task<int> RunAsync(string[] args)
    {
        var everySystem = JobSystems.All.Select(system => system.Name).ToArray();
        var full = args.Contains("--full");
        var (root, data, json) = ("", Path.GetTempPath(), (string?)null);
        var (rounds, seconds) = full ? (5, 4.0) : (3, 1.5);
        string[] aof = full ? EveryAof : ["no", "always"];
        // A soak takes ten minutes.
        var (systems, what) = (everySystem, full ? EveryWhat : EveryWhat.Except(["soak"]).ToArray());
        var minutes = 10.0;
        for (var at = 0; at < args.Length; at++)
        {
            string Value() => at + 1 < args.Length ? args[++at] : throw new ArgumentException($"{args[at]} needs a value.");
            string[] Some(string[] all)
            {
                var (option, some) = (args[at], Value().Split(','));
                return some.Except(all).FirstOrDefault() is { } unknown
                    ? throw new ArgumentException($"{option} {unknown}: there are {string.Join(", ", all)}.")
                    : some;
            }

            try
            {
                switch (args[at])
                {
                    case "--full": break;
                    case "--root": root = Value(); break;
                    case "--data": data = Value(); break;
                    case "--json": json = Path.GetFullPath(Value()); break;
                    case "--aof": aof = Some(EveryAof); break;
                    case "--systems": systems = Some(everySystem); break;
                    case "--what": what = Some(EveryWhat); break;
                    case "--rounds": rounds = int.Parse(Value(), NumberStyles.None, CultureInfo.InvariantCulture); break;
                    case "--minutes": minutes = double.Parse(Value(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture); break;
                    case "--seconds": seconds = double.Parse(Value(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture); break;
                    default: throw new ArgumentException($"unknown option {args[at]}.");
                }
            }
            catch (Exception fault) when (fault is ArgumentException or FormatException)
            {
                Console.Error.WriteLine($"""
                    bench/jobs/run: {fault.Message}
                    bench/jobs/run [--full] [--json FILE] [--aof {string.Join(',', EveryAof)}] [--systems {string.Join(',', everySystem)}]
                        [--what {string.Join(',', EveryWhat)}] [--rounds N] [--seconds S] [--minutes M] [--data FOLDER]
                    """);
                return 2;
            }
        }

        using var stop = new CancellationTokenSource();
        void Cancel(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }

        using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        var folder = Directory.CreateDirectory(Path.Combine(data, $"slipway-bench-jobs-{Guid.NewGuid():N}")).FullName;
        try
        {
            if (new DriveInfo(folder).DriveFormat == "tmpfs" && aof.Any(setting => setting != "no"))
            {
                Console.Error.WriteLine($"bench/jobs/run: {data} is in memory, where fsync costs nothing. Give a folder on a disk with --data.");
            }

            var options = new JobBenchOptions(root, folder, aof.ToHashSet(), systems.ToHashSet(), what.ToHashSet(), rounds, seconds, minutes, full);
            var machine = await JobMachine.ReadAsync(options, stop.Token);
            var rows = await new JobBench(options).MeasureAsync(stop.Token);
            Console.WriteLine(JobReport.Of(rows, machine));
            if (json is not null)
            {
                await File.WriteAllTextAsync(json, JobReport.JsonOf(rows, machine), CancellationToken.None);
            }

            return rows.Any(row => row.Fault is not null) ? 1 : 0;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // As a shell says it of a program ended by SIGINT.
            return 130;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
