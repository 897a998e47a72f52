using System.Globalization;
using System.Text;
using System.Text.Json;
using Slipway.Chaos.Scenarios;

namespace Slipway.Chaos.Reports;

/// <summary>The results, for programs (JSON) and for people (Markdown).</summary>
internal static class ReportFiles
{
    public static async Task WriteAsync(ChaosOptions options, ChaosResult result, CancellationToken cancellationToken)
    {
        if (options.JsonFile is { } json)
        {
            string text = JsonSerializer.Serialize(result, ReportJson.Default.ChaosResult) + "\n";
            await (json == "-" ? Console.Out.WriteAsync(text) : File.WriteAllTextAsync(json, text, cancellationToken));
        }

        if (options.ReportFile is { } report)
        {
            await File.WriteAllTextAsync(report, Markdown(result), cancellationToken);
        }
    }

    public static string Figures(ScenarioResult one) => string.Create(
        CultureInfo.InvariantCulture,
        $"{one.Acknowledged:n0} acknowledged, {one.Executed:n0} executed, {one.Lost} lost, {one.Ghosts} ghosts, {one.Duplicates} duplicates, {one.LateAcks} late{(one.RecoverySeconds is { } seconds ? $", recovered in {seconds:0.0} s" : "")}{(one.AimsMissed > 0 ? $", {one.AimsMissed} aims missed" : "")}");

    public static string Markdown(ChaosResult result)
    {
        var text = new StringBuilder();
        text.AppendLine("# Chaos report");
        text.AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"Made by `./slipway jobs chaos {(result.Mode switch { "full" => "", "quick" => "--quick ", var some => $"--only {some} " })}--seed {result.Seed} --report docs/chaos-report.md` on {result.StartedAt:yyyy-MM-dd HH:mm} UTC in {result.Seconds:0} s: {result.Redis}, {result.Machine}.");
        text.AppendLine("What each scenario does, and what the columns mean, is in [chaos.md](chaos.md).");
        text.AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"**{result.Scenarios.Count(one => one.Passed)} passed, {result.Scenarios.Count(one => !one.Passed)} failed; {result.AimsMissed} aims of speed missed.**");
        text.AppendLine();
        text.AppendLine("| # | scenario | where | result | acked | executed | dead | lost | ghosts | duplicates (bound) | late | recovery s | s |");
        text.AppendLine("|---|---|---|---|--:|--:|--:|--:|--:|---|--:|--:|--:|");
        foreach (ScenarioResult one in result.Scenarios)
        {
            string lost = one.LostAllowed > 0 ? $"{one.Lost - one.LostAllowed} (+{one.LostAllowed} in the stated window)" : $"{one.Lost}";
            text.AppendLine(CultureInfo.InvariantCulture, $"| {one.Id} | {one.Title} | {one.Where} | {(one.Passed ? one.AimsMissed > 0 ? "pass, slow" : "pass" : "**FAIL**")} | {one.Acknowledged:n0} | {one.Executed:n0} | {one.Dead:n0} | {lost} | {one.Ghosts} | {one.Duplicates} ({one.DuplicateBound}) | {one.LateAcks} | {(one.RecoverySeconds is { } seconds ? seconds.ToString("0.0", CultureInfo.InvariantCulture) : "–")} | {one.Seconds:0} |");
        }

        foreach (ScenarioResult one in result.Scenarios)
        {
            text.AppendLine();
            text.AppendLine(CultureInfo.InvariantCulture, $"## {one.Id} {one.Title}");
            text.AppendLine();
            foreach (CheckResult check in one.Checks)
            {
                text.AppendLine(CultureInfo.InvariantCulture, $"* {(check.Passed ? "✓" : check.IsAim ? "(slow)" : "✗")} {(check.IsAim ? "aim: " : "")}{check.What}: {OneLine(check.Detail)}");
            }

            foreach (string note in one.Notes)
            {
                text.AppendLine(CultureInfo.InvariantCulture, $"* {OneLine(note)}");
            }
        }

        return text.ToString();
    }

    private static string OneLine(string text)
    {
        string line = text.ReplaceLineEndings(" ");
        return line.Length <= 400 ? line : line[..399] + "…";
    }
}
