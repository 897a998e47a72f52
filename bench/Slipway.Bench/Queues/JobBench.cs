using System.Diagnostics;
using System.Globalization;

namespace Slipway.Bench.Queues;

/// <summary>What the command line asks for. See bench/jobs/README.md.</summary>
internal sealed record JobBenchOptions(
    string Root, string Data, IReadOnlySet<string> Aof, IReadOnlySet<string> Systems, IReadOnlySet<string> What, int Rounds, double Seconds, double SoakMinutes, bool Full)
{
    /// <summary>On a machine that is never quiet each run would be made three times: a quick run shall still be quick.</summary>
    public TimeSpan RepeatsUntil => Full ? TimeSpan.MaxValue : TimeSpan.FromSeconds(90);

    /// <summary>A round that would end later is not begun: on a busy machine one of a quick run takes five minutes.</summary>
    public TimeSpan RoundsUntil => Full ? TimeSpan.MaxValue : TimeSpan.FromMinutes(7.5);
}

/// <summary>A row of the tables: all runs of one scenario under one setting of the log.</summary>
/// <param name="System">"redis-benchmark" for the limit.</param>
internal sealed record JobRow(string System, string Aof, JobKind Kind, string Scenario, bool AtLeastOnce, List<JobResult> Runs)
{
    public bool IsLimit => System == JobBench.Limit;

    /// <summary>Why a run gave nothing.</summary>
    public string? Fault { get; set; }

    public double Median(Func<JobResult, double> value) => Stats.Median(Runs.Select(value));

    /// <summary>What stands in the ratio: jobs per second, or where less is better bytes and milliseconds.</summary>
    public double Figure => Kind switch
    {
        JobKind.Memory => Median(run => run.Bytes!.Value),
        JobKind.Latency => Median(run => run.DelayMillis(0.5)),
        JobKind.Idle => Median(run => run.More[0].Value),
        _ => Median(run => run.JobsPerSecond),
    };
}

/// <summary>
/// Measures all systems in rounds: in each round every system runs one scenario before any runs the next, so that what else happens on the
/// machine hits all of them.
/// </summary>
internal sealed class JobBench(JobBenchOptions options)
{
    public const string Limit = "redis-benchmark";

    /// <summary>Of all cores. A run in which others used more is repeated.</summary>
    public const double Disturbed = 0.25;

    /// <summary>Then the least disturbed run counts, and the table says so.</summary>
    private const int Repeats = 2;

    private readonly List<JobRow> rows = [];
    private readonly long start = Stopwatch.GetTimestamp();

    public async Task<IReadOnlyList<JobRow>> MeasureAsync(CancellationToken cancellationToken)
    {
        var folder = Path.Combine(options.Root, "bench/jobs");
        var longest = TimeSpan.Zero;
        foreach (var round in Enumerable.Range(1, options.Rounds))
        {
            var begun = Stopwatch.GetElapsedTime(start);
            if (begun + longest > options.RoundsUntil)
            {
                Console.Error.WriteLine($"no round {round}: it would take too long");
                break;
            }

            foreach (var aof in options.Aof)
            {
                if (options.What.Contains("limit"))
                {
                    await LimitAsync(aof, cancellationToken);
                }

                var asked =
                    from system in JobSystems.All
                    where options.Systems.Contains(system.Name)
                    from scenario in system.Scenarios
                    where options.What.Contains(scenario.Kind.ToString().ToLowerInvariant()) && (options.Full || !scenario.OnlyFull)
                    // Memory hardly varies and takes long to fill; latency takes its time, once is enough for a first look.
                    where scenario.Kind != JobKind.Memory || (round == 1 && aof == options.Aof.First())
                    where scenario.Kind != JobKind.Latency || round == 1 || options.Full
                    where scenario.OnlyAof is null || scenario.OnlyAof == aof
                    where scenario.Kind < JobKind.Handler || (round == 1 && aof == options.Aof.First())
                    // Half a minute each.
                    where scenario.Kind != JobKind.Idle || system.Ours || options.Full
                    orderby scenario.Kind, scenario.Name
                    select (system, scenario);
                foreach (var (system, scenario) in asked)
                {
                    var row = RowOf(system.Name, aof, scenario.Kind, scenario.Name, scenario.AtLeastOnce);
                    var run = new JobRun(system, aof, folder, options.Data) { SoakMinutes = options.SoakMinutes };
                    await AddAsync(row, round, async () => [await run.MeasureAsync(scenario, SecondsFor(aof), cancellationToken)], [row]);
                }
            }

            var took = Stopwatch.GetElapsedTime(start) - begun;
            longest = took > longest ? took : longest;
        }

        return rows;
    }

    private async Task LimitAsync(string aof, CancellationToken cancellationToken)
    {
        var limits = RedisLimit.Names.Select(name => RowOf(Limit, aof, JobKind.Process, name, atLeastOnce: false)).ToList();
        await AddAsync(limits[0], 0, () => new RedisLimit(aof, options.Data).MeasureAsync(options.Seconds / 4, cancellationToken), limits);
    }

    private async Task AddAsync(JobRow name, int round, Func<Task<IReadOnlyList<JobResult>>> measure, List<JobRow> into)
    {
        IReadOnlyList<JobResult>? best = null;
        bool MayRepeat(int attempt) => attempt <= Repeats && name.Kind != JobKind.Soak && Stopwatch.GetElapsedTime(start) < options.RepeatsUntil;
        for (var attempt = 0; best is null || (Worst(best) > Disturbed && MayRepeat(attempt)); attempt++)
        {
            try
            {
                var results = await measure();
                best = best is null || Worst(results) < Worst(best) ? results : best;
            }
            catch (Exception fault) when (fault is InvalidOperationException or IOException or TimeoutException)
            {
                // One system that fails must not cost the figures of the others; the report and the exit code tell.
                name.Fault = fault.Message;
                Console.Error.WriteLine($"{name.System} {name.Scenario}: {fault.Message}");
                return;
            }
        }

        for (var at = 0; at < into.Count; at++)
        {
            into[at].Runs.Add(best![at]);
            var (row, run) = (into[at], best[at]);
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{round} {row.Aof,-8} {row.Kind,-7} {row.System,-15} {row.Scenario,-20} {run.JobsPerSecond,11:N0} jobs/s {run.RedisMicros,7:N1} µs {run.ProgramMicros,7:N1} µs {run.Commands,5:N1} commands, foreign {run.Foreign:P0}"));
        }
    }

    /// <summary>One by one, the disk decides: less jobs are as exact.</summary>
    private double SecondsFor(string aof) => aof == "always" ? options.Seconds / 2 : options.Seconds;

    private JobRow RowOf(string system, string aof, JobKind kind, string scenario, bool atLeastOnce)
    {
        var row = rows.Find(row => row.System == system && row.Aof == aof && row.Kind == kind && row.Scenario == scenario);
        if (row is null)
        {
            rows.Add(row = new JobRow(system, aof, kind, scenario, atLeastOnce, []));
        }

        return row;
    }

    private static double Worst(IReadOnlyList<JobResult> results) => results.Max(result => result.Foreign);
}
