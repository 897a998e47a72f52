using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Slipway.Bench.Queues;

/// <summary>The rows as Markdown, which reads as tables in a terminal too, and as JSON.</summary>
internal static class JobReport
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static string Of(IReadOnlyList<JobRow> rows, JobMachine machine)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{machine.Time:yyyy-MM-dd}, {machine.Processor}, {machine.Cores} cores, load {machine.Load}; medians of up to {machine.Rounds} rounds of about {machine.Seconds} s.\n");
        text.Append(string.Join(", ", machine.Versions.Select(version => $"{version.Name} {version.Version}"))).Append(".\n");
        foreach (var aof in rows.GroupBy(row => row.Aof))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n### appendonly {aof.Key}\n");
            foreach (var kind in aof.Where(row => row.Runs.Count > 0).GroupBy(row => (row.Kind, row.IsLimit)).OrderBy(kind => (kind.Key.IsLimit, kind.Key.Kind)))
            {
                var best = kind.OrderBy(row => row.Kind switch
                {
                    _ when row.IsLimit => 0,
                    JobKind.Memory or JobKind.Latency or JobKind.Idle => row.Figure,
                    _ => -row.Figure,
                });
                text.Append(kind.Key.Kind switch
                {
                    JobKind.Handler or JobKind.Idle or JobKind.Starvation or JobKind.Soak => Table(
                        ["system", HeadOf(kind.Key.Kind), .. kind.Key.Kind == JobKind.Idle ? [] : (string[])["jobs/s"], .. kind.First().Runs[0].More.Select(more => more.Head), "foreign", "× best"],
                        best, rows, Behaviour),
                    JobKind.Memory => Table(["system", "", "Redis bytes/job", "× best"], best, rows, row => [$"{row.Figure:N0}"]),
                    JobKind.Latency => Table(["system", "200 jobs/s", "p50 ms", "p95", "p99", "max", "Redis µs/job", "program µs/job", "commands/job", "foreign", "runs", "× best"], best, rows, Delays),
                    JobKind.Enqueue => Table(["system", "enqueue", "jobs/s", "range", "Redis µs/job", "program µs/job", "commands/job", "foreign", "runs", "× best"], best.OrderBy(row => row.Scenario), rows, Rates),
                    _ when kind.Key.IsLimit => Table(["limit", "", "jobs/s", "range", "Redis µs/job", "program µs/job", "commands/job", "foreign", "runs", ""], best, rows, Rates),
                    _ => Table(["system", "process", "jobs/s", "range", "Redis µs/job", "program µs/job", "commands/job", "foreign", "runs", "× best"], best, rows, Rates),
                });
            }
        }

        text.Append(JobAims.Of(rows));
        text.Append("\n× best: against the best peer that loses no job when a worker is killed (✓), in the same way of enqueueing; below 1 is better for bytes and ms.\n");
        text.Append(CultureInfo.InvariantCulture, $"foreign: median of what others used of the machine; ! above {JobBench.Disturbed:P0}, in spite of repeating: do not trust jobs/s there.\n");
        foreach (var row in rows.Where(row => row.Fault is not null))
        {
            text.Append(CultureInfo.InvariantCulture, $"\nFAILED: {row.System} {row.Scenario}, appendonly {row.Aof}: {row.Fault}\n");
        }

        return text.ToString();
    }

    public static string JsonOf(IReadOnlyList<JobRow> rows, JobMachine machine) => new JsonObject
    {
        ["time"] = machine.Time,
        ["processor"] = machine.Processor,
        ["cores"] = machine.Cores,
        ["rounds"] = machine.Rounds,
        ["secondsPerRun"] = machine.Seconds,
        ["versions"] = new JsonObject(machine.Versions.Select(version => KeyValuePair.Create(version.Name, (JsonNode?)version.Version))),
        ["rows"] = new JsonArray([.. rows.Select(row => RowOf(row, rows))]),
    }.ToJsonString(Indented);

    private static JsonObject RowOf(JobRow row, IReadOnlyList<JobRow> rows)
    {
        var json = new JsonObject
        {
            ["system"] = row.System,
            ["appendonly"] = row.Aof,
            ["kind"] = row.IsLimit ? "limit" : row.Kind.ToString().ToLowerInvariant(),
            ["scenario"] = row.Scenario,
            ["atLeastOnce"] = row.AtLeastOnce,
            ["runs"] = new JsonArray([.. row.Runs.Select(run => new JsonObject
            {
                ["jobsPerSecond"] = run.JobsPerSecond,
                ["redisMicrosPerJob"] = run.RedisMicros,
                ["foreignCpu"] = run.Foreign,
            })]),
            ["fault"] = row.Fault,
        };
        if (row.Runs.Count > 0)
        {
            var speeds = row.Runs.Select(run => run.JobsPerSecond).ToList();
            json["jobsPerSecond"] = new JsonObject { ["median"] = Stats.Median(speeds), ["low"] = speeds.Min(), ["high"] = speeds.Max() };
            json["redisMicrosPerJob"] = row.Median(run => run.RedisMicros);
            json["programMicrosPerJob"] = row.IsLimit ? null : row.Median(run => run.ProgramMicros);
            json["redisCommandsPerJob"] = row.Median(run => run.Commands);
            json["redisBytesPerJob"] = row.Kind == JobKind.Memory ? row.Figure : null;
            json["latencyMs"] = row.Kind == JobKind.Latency
                ? new JsonObject { ["p50"] = Delay(row, 0.5), ["p95"] = Delay(row, 0.95), ["p99"] = Delay(row, 0.99), ["max"] = row.Runs.Max(run => run.DelayMillis(1)) }
                : null;
            json["more"] = new JsonObject(row.Runs[0].More.Select(more => KeyValuePair.Create(more.Head, (JsonNode?)row.Median(run => run.More.First(other => other.Head == more.Head).Value))));
            json["ratioToBestAtLeastOncePeer"] = Ratio(row, rows);
            json["foreignCpu"] = row.Median(run => run.Foreign);
            json["disturbed"] = IsDisturbed(row);
        }

        return json;
    }

    private static string Table(string[] heads, IEnumerable<JobRow> group, IReadOnlyList<JobRow> all, Func<JobRow, string[]> cells)
    {
        var text = new StringBuilder($"\n| {string.Join(" | ", heads)} |\n|---|---|{string.Concat(Enumerable.Repeat("--:|", heads.Length - 2))}\n");
        foreach (var row in group)
        {
            var name = row.AtLeastOnce ? $"{row.System} ✓" : row.System;
            var ratio = Ratio(row, all) is { } factor ? string.Create(CultureInfo.InvariantCulture, $"**{factor:0.00}**") : "";
            text.Append($"| {string.Join(" | ", [name, row.Scenario, .. cells(row), ratio])} |\n");
        }

        return text.ToString();
    }

    private static string[] Rates(JobRow row) =>
    [
        $"{row.Figure:N0}", $"{row.Runs.Min(run => run.JobsPerSecond):N0}–{row.Runs.Max(run => run.JobsPerSecond):N0}", .. Costs(row),
    ];

    private static string[] Behaviour(JobRow row) =>
    [
        .. row.Kind == JobKind.Idle ? [] : (string[])[$"{row.Figure:N0}"],
        .. row.Runs[0].More.Select((more, at) => row.Median(run => run.More[at].Value) is var value && Math.Abs(value) < 100 ? $"{value:N2}" : $"{value:N0}"),
        Foreign(row),
    ];

    private static string HeadOf(JobKind kind) => kind switch
    {
        JobKind.Handler => "handlers of 5 ms",
        JobKind.Idle => "idle",
        JobKind.Starvation => "three levels",
        _ => "soak",
    };

    private static string[] Delays(JobRow row) =>
    [
        $"{Delay(row, 0.5):N2}", $"{Delay(row, 0.95):N2}", $"{Delay(row, 0.99):N2}", $"{row.Runs.Max(run => run.DelayMillis(1)):N0}", .. Costs(row),
    ];

    private static string[] Costs(JobRow row) =>
    [
        $"{row.Median(run => run.RedisMicros):N1}", row.IsLimit ? "" : $"{row.Median(run => run.ProgramMicros):N1}", $"{row.Median(run => run.Commands):N1}", Foreign(row), $"{row.Runs.Count}",
    ];

    private static string Foreign(JobRow row) => $"{row.Median(run => run.Foreign):P0}{(IsDisturbed(row) ? " !" : "")}";

    private static double Delay(JobRow row, double percentile) => row.Median(run => run.DelayMillis(percentile));

    private static bool IsDisturbed(JobRow row) => row.Median(run => run.Foreign) > JobBench.Disturbed;

    /// <summary>Enqueues are compared in the same way of enqueueing, everything else with the best configuration of the peer.</summary>
    private static double? Ratio(JobRow row, IReadOnlyList<JobRow> rows)
    {
        if (row.IsLimit || row.Runs.Count == 0)
        {
            return null;
        }

        var peers = rows
            .Where(peer => peer.Aof == row.Aof && peer.Kind == row.Kind && peer.AtLeastOnce && !peer.IsLimit && peer.Runs.Count > 0
                && (row.Kind != JobKind.Enqueue || peer.Scenario == row.Scenario)
                && !JobSystems.All.Any(system => system.Ours && system.Name == peer.System))
            .Select(peer => peer.Figure).ToList();
        return peers.Count == 0 ? null : row.Figure / (row.Kind is JobKind.Memory or JobKind.Latency or JobKind.Idle ? peers.Min() : peers.Max());
    }
}
