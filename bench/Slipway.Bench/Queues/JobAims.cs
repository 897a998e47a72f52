using System.Globalization;
using System.Text;

namespace Slipway.Bench.Queues;

/// <summary>What our own queue is to reach, beside what it reached.</summary>
internal static class JobAims
{
    public static string Of(IReadOnlyList<JobRow> rows)
    {
        var ours = rows.Where(row => row.Runs.Count > 0 && JobSystems.All.Any(system => system.Ours && system.Name == row.System)).ToList();
        var text = new StringBuilder();
        foreach (var aof in ours.Select(row => row.Aof).Distinct())
        {
            var reached = Aims(ours.Where(row => row.Aof == aof).ToList(), aof).Where(aim => aim.Reached is not null).ToList();
            if (reached.Count > 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"\n| slipway's aims, appendonly {aof} | aim | reached | reached ÷ aim | |\n|---|--:|--:|--:|---|\n");
                foreach (var (name, least, aim, value) in reached)
                {
                    var met = least ? value >= aim : value <= aim;
                    text.Append(CultureInfo.InvariantCulture, $"| {name} | {(least ? "≥" : "≤")} {aim:#,0.##} | {value:#,0.##} | **{value / aim:0.00}** | {(met ? "met" : "missed")} |\n");
                }
            }
        }

        return text.ToString();
    }

    /// <summary>Aims that were set for a Redis without a log are shown for the others too: what the log costs.</summary>
    private static IEnumerable<(string Name, bool Least, double Aim, double? Reached)> Aims(List<JobRow> rows, string aof)
    {
        JobRow? Find(JobKind kind, string? scenario = null) => rows.Find(row => row.Kind == kind && (scenario is null || row.Scenario == scenario));
        double? Redis(JobRow? row) => row?.Median(run => run.RedisMicros);
        double? More(JobKind kind, string head) => Find(kind)?.Median(run => run.More.First(more => more.Head == head).Value);
        var processed = rows.Where(row => row.Kind == JobKind.Process).MaxBy(row => row.Figure);
        yield return ("processed, jobs/s", true, 200_000, processed?.Figure);
        yield return ("enqueue, 50 in flight, jobs/s", true, 150_000, Find(JobKind.Enqueue, "inflight50")?.Figure);
        yield return ("enqueue, bulk, jobs/s", true, 400_000, Find(JobKind.Enqueue, "bulk")?.Figure);
        if (aof == "always")
        {
            yield return ("enqueue, acknowledged after fsync, jobs/s", true, 50_000, Find(JobKind.Enqueue, "inflight1000, fsync")?.Figure);
        }

        yield return ("Redis CPU, enqueue (bulk) and work, µs/job", false, 4, Redis(Find(JobKind.Enqueue, "bulk")) + Redis(processed));
        yield return ("pick-up at 200 jobs/s, p50 ms", false, 0.5, Find(JobKind.Latency)?.Median(run => run.DelayMillis(0.5)));
        yield return ("pick-up at 200 jobs/s, p99 ms", false, 3, Find(JobKind.Latency)?.Median(run => run.DelayMillis(0.99)));
        yield return ("Redis memory, bytes/job", false, 120, Find(JobKind.Memory)?.Figure);
        yield return ("idle, commands sent/s per process", false, 1, Find(JobKind.Idle)?.Figure);
        yield return ("handlers of 5 ms, one at a time, % of the time in handlers", true, 95, More(JobKind.Handler, "% of the time in handlers"));
        yield return ("all levels full, % of the 3rd (an eighth is for the 2nd and 3rd)", true, 5, More(JobKind.Starvation, "% for the 3rd"));
        yield return ("beside a full top level, longest wait of the 3rd, ms", false, 1000, More(JobKind.Starvation, "of the 3rd, ms"));
        foreach (var head in (string[])["RSS growth %", "GC heap growth %", "Redis memory growth %"])
        {
            yield return ($"soak, {head}", false, 5, More(JobKind.Soak, head));
        }
    }
}
