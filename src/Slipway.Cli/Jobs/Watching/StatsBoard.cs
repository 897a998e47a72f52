using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Jobs.Queues;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary>
/// One queue as a page: what waits, what happens, who fails, who works.
/// <code>
/// acme/mail  handing out                                              oldest waits 1.2 s
///
///   ready 12,403   delayed 120   leased 64   waiting 0   dead 12   14.1 MiB
///
///   enqueued/s    1,204   ▁▂▃▅▆▇█
///   completed/s   1,198   ▁▂▃▅▆▇█
/// …
/// </code>
/// </summary>
internal sealed class StatsBoard(string queue, Style style)
{
    /// <summary>Rates that have a line of their own even when they are 0.</summary>
    private static readonly string[] AlwaysShown = ["enqueued", "completed"];

    /// <summary>Shown when something happened while watching.</summary>
    private static readonly string[] ShownWhenBusy = ["retried", "died", "lost", "late", "shed", "cancelled"];

    private const int MostSamples = 60;
    private const string Bars = "▁▂▃▄▅▆▇█";

    private readonly Dictionary<string, Queue<double>> samples = new(StringComparer.Ordinal);
    private JobQueueLive? last;
    private JobQueueHistory? history;

    /// <summary>Why nothing new comes; cleared by the next state.</summary>
    public string? Trouble { get; set; }

    public void Add(JobQueueLive live, JobQueueHistory? past)
    {
        (last, history, Trouble) = (live, past, null);
        foreach (var name in (string[])[.. AlwaysShown, .. ShownWhenBusy])
        {
            var line = samples.TryGetValue(name, out var known) ? known : samples[name] = new Queue<double>();
            line.Enqueue(live.PerSecond.GetValueOrDefault(name));
            while (line.Count > MostSamples)
            {
                line.Dequeue();
            }
        }
    }

    /// <summary>The page, for a window of that size; sections that have no room are left out from below.</summary>
    public IEnumerable<string> Lines(int width, int height)
    {
        if (last is not { } live)
        {
            return [style.Dim($"{queue}: {Trouble ?? "waiting for the first figures"}")];
        }

        List<List<string>> sections = [Head(live.Stats, width), Depths(live.Stats, width)];
        if (live.PerSecond.Count > 0)
        {
            sections.Add(Rates(live, width));
        }

        sections.Add(Types(live.Stats));
        sections.Add(Errors());
        sections.Add(Dead(live.Stats));
        sections.Add(Workers(live.Stats, width));
        List<string> page = [];
        foreach (var section in sections.Where(section => section.Count > 0))
        {
            var room = height - page.Count - (page.Count > 0 ? 1 : 0);
            if (room < Math.Min(2, section.Count))
            {
                break;
            }

            if (page.Count > 0)
            {
                page.Add("");
            }

            page.AddRange(section.Take(room));
        }

        return page.Select(line => Fit(line, width));
    }

    /// <summary>Name and number, for programs.</summary>
    public static IEnumerable<(string Name, string Value)> Plain(JobQueueStats stats)
    {
        yield return ("ready", Invariant(stats.ReadyTotal));
        for (var level = 0; level < stats.Ready.Count; level++)
        {
            yield return (string.Create(CultureInfo.InvariantCulture, $"ready.{level}"), Invariant(stats.Ready[level]));
        }

        foreach (var (name, value) in ((string, long)[])[("delayed", stats.Delayed), ("leased", stats.Leased), ("waiting", stats.Waiting), ("dead", stats.Dead), ("bytes", stats.Bytes), ("oldestReadyMs", stats.OldestReadyMs), ("workers", stats.Workers.Count)])
        {
            yield return (name, Invariant(value));
        }

        yield return ("paused", stats.PausedWhy ?? "");
        foreach (var (name, value) in stats.Totals.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            yield return ("total." + name, Invariant(value));
        }
    }

    /// <summary>One state as <c>name=value</c> pairs, for logs and grep.</summary>
    public static string PlainLine(JobQueueLive live) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Figures.Stamp(live.Stats.ServerTime)} ready={live.Stats.ReadyTotal} delayed={live.Stats.Delayed} leased={live.Stats.Leased} dead={live.Stats.Dead} oldestMs={live.Stats.OldestReadyMs} enqueued/s={live.PerSecond.GetValueOrDefault("enqueued"):0.#} completed/s={live.PerSecond.GetValueOrDefault("completed"):0.#} retried/s={live.PerSecond.GetValueOrDefault("retried"):0.#} workers={live.Stats.Workers.Count}");

    private List<string> Head(JobQueueStats stats, int width)
    {
        var (state, shown) = Trouble is { } trouble ? (trouble, style.Red(Printable.Text(trouble)))
            : stats.PausedWhy is { } why ? ($"paused: {why}", style.Yellow($"paused: {Printable.Text(why)}"))
            : ("handing out", style.Green("handing out"));
        var right = $"{stats.ServerTime.UtcDateTime:HH:mm:ss} UTC";
        var gap = Math.Max(2, width - queue.Length - state.Length - right.Length - 2);
        return [$"{style.Bold(queue)}  {shown}{new string(' ', gap)}{style.Dim(right)}"];
    }

    private List<string> Depths(JobQueueStats stats, int width)
    {
        List<string> lines =
        [
            "  " + string.Join("   ", [
                $"ready {style.Bold(Figures.Count(stats.ReadyTotal))}",
                $"delayed {style.Bold(Figures.Count(stats.Delayed))}",
                $"leased {style.Bold(Figures.Count(stats.Leased))}",
                .. stats.Waiting > 0 ? (string[])[$"waiting {style.Bold(Figures.Count(stats.Waiting))}"] : [],
                $"dead {(stats.Dead > 0 ? style.Red(Figures.Count(stats.Dead)) : style.Bold("0"))}",
                $"{Figures.Bytes(stats.Bytes)}",
                stats.OldestReadyMs > 0 ? $"oldest waits {style.Bold(Figures.Duration(TimeSpan.FromMilliseconds(stats.OldestReadyMs)))}" : style.Dim("nothing waits"),
            ]),
        ];
        var most = stats.Ready.Max();
        var label = stats.Ready.Max(count => Figures.Count(count).Length);
        for (var level = 0; level < stats.Ready.Count; level++)
        {
            if (stats.Ready[level] > 0)
            {
                var room = Math.Clamp(width - label - 20, 10, 50);
                var length = (int)Math.Max(1, Math.Round(room * (double)stats.Ready[level] / most));
                lines.Add($"    {style.Dim($"priority {level}")}  {Figures.Count(stats.Ready[level]).PadLeft(label)}  {style.Cyan(new string('━', length))}");
            }
        }

        foreach (var (type, count) in stats.Held.Where(pair => pair.Value > 0).OrderByDescending(pair => pair.Value).Take(5))
        {
            lines.Add($"    {style.Dim("held by its limit")}  {Figures.Count(count)}  {Printable.Text(LimitList.NameOf(type))}");
        }

        return lines;
    }

    private List<string> Rates(JobQueueLive live, int width)
    {
        List<string> lines = [];
        foreach (var name in (string[])[.. AlwaysShown, .. ShownWhenBusy.Where(name => samples[name].Any(rate => rate > 0))])
        {
            var rate = live.PerSecond.GetValueOrDefault(name).ToString("#,0.#", CultureInfo.InvariantCulture);
            var bars = Sparkline(samples[name], Math.Clamp(width - 34, 10, MostSamples));
            lines.Add($"  {style.Dim((name + "/s").PadRight(12))} {rate,11}   {(name is "died" or "lost" or "late" or "shed" ? style.Red(bars) : style.Green(bars))}");
        }

        return lines;
    }

    private List<string> Types(JobQueueStats stats)
    {
        var past = history?.Minutes.GroupBy(minute => minute.Type, StringComparer.Ordinal).ToDictionary(group => group.Key, group => group.ToList(), StringComparer.Ordinal) ?? [];
        var limits = stats.Types.ToDictionary(type => type.Type, StringComparer.Ordinal);
        var rows = past.Keys.Concat(limits.Keys).Distinct(StringComparer.Ordinal)
            .Select(type =>
            {
                var minutes = past.GetValueOrDefault(type) ?? [];
                var (completed, failed) = (minutes.Sum(minute => minute.Completed), minutes.Sum(minute => minute.Failed));
                var runs = completed + failed;
                var limit = limits.GetValueOrDefault(type);
                return (
                    Runs: runs,
                    Cells: (string[])[
                        Printable.Text(LimitList.NameOf(type)),
                        Figures.Count(completed),
                        Figures.Count(failed),
                        runs > 0 ? Figures.Duration(TimeSpan.FromMilliseconds(minutes.Sum(minute => minute.BusyMs) / (double)runs)) : "–",
                        runs > 0 ? Figures.Duration(TimeSpan.FromMilliseconds(minutes.Sum(minute => minute.WaitedMs) / (double)runs)) : "–",
                        limit is null ? "" : LimitList.Words(limit.Limits) + (limit.Breaker == "closed" ? "" : $", circuit {limit.Breaker}"),
                    ]);
            })
            .OrderByDescending(row => row.Runs).Take(8).Select(row => row.Cells).ToList();
        return rows.Count == 0 ? [] : Grid(["TYPE, LAST 10 MIN", "COMPLETED", "FAILED", "A RUN TAKES", "WAITED", "LIMITS"], rows, [1, 2, 3, 4]);
    }

    private List<string> Errors() =>
        history is not { Errors.Count: > 0 } past ? []
        : Grid(["TOP ERRORS, LAST 10 MIN", "TYPE", "TIMES"], [.. past.Errors.Take(5).Select(error => (string[])[Printable.Text(error.Reason), Printable.Text(error.Type), Figures.Count(error.Count)])], [2]);

    private List<string> Dead(JobQueueStats stats) =>
        stats.DeadReasons.Count == 0 ? []
        : Grid(["DEAD LETTERS BY REASON", "JOBS"], [.. stats.DeadReasons.OrderByDescending(pair => pair.Value).Take(5).Select(pair => (string[])[Printable.Text(pair.Key), Figures.Count(pair.Value)])], [1]);

    private List<string> Workers(JobQueueStats stats, int width)
    {
        if (stats.Workers.Count == 0)
        {
            return [style.Yellow("  no workers")];
        }

        var rows = stats.Workers.OrderByDescending(worker => worker.SeenAt).Select(worker => (string[])[Printable.Text(worker.Name), Figures.Since(worker.SeenAt, stats.ServerTime), Printable.Text(worker.About)]).ToList();
        return Grid([$"{Figures.Count(rows.Count, "WORKER").ToUpperInvariant()}", "SEEN", "ABOUT"], rows, []);
    }

    private List<string> Grid(string[] headings, List<string[]> rows, int[] right)
    {
        var widths = headings.Select((heading, i) => rows.Select(row => row[i].Length).Append(heading.Length).Max()).ToArray();
        string Line(string[] cells) => ("  " + string.Join("  ", cells.Select((cell, i) => right.Contains(i) ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i])))).TrimEnd();
        return [style.Dim(Line(headings)), .. rows.Select(Line)];
    }

    private static string Sparkline(IEnumerable<double> values, int room)
    {
        var shown = values.TakeLast(room).ToList();
        var most = shown.DefaultIfEmpty(0).Max();
        return most <= 0 ? new string(Bars[0], shown.Count) : string.Concat(shown.Select(value => Bars[(int)Math.Min(Bars.Length - 1, Math.Ceiling(value / most * (Bars.Length - 1)))]));
    }

    /// <summary>Cuts at the window's edge; codes that colour take no room.</summary>
    private static string Fit(string line, int width)
    {
        var visible = 0;
        for (var i = 0; i < line.Length; i++)
        {
            if (line[i] == '\e')
            {
                i = line.IndexOf('m', i);
                continue;
            }

            if (++visible > width)
            {
                return line[..i] + "\e[0m";
            }
        }

        return line;
    }

    private static string Invariant(long number) => number.ToString(CultureInfo.InvariantCulture);
}
