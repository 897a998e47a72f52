using System.Diagnostics;
using System.Runtime.InteropServices;
using Slipway.Chaos.Reports;

namespace Slipway.Chaos.Scenarios;

/// <summary>Runs scenarios one after the other and collects what they found.</summary>
internal static class ChaosRun
{
    /// <summary>No scenario takes longer but the soak and the million, which have their own lengths on top.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(10);

    public static async Task<ChaosResult> RunAsync(ChaosOptions options, TextWriter output, CancellationToken cancellationToken)
    {
        DateTimeOffset startedAt = DateTimeOffset.UtcNow;
        long started = Stopwatch.GetTimestamp();
        Scenario[] chosen = [.. ScenarioTable.All.Where(scenario => options.Only.Count > 0
            ? options.Only.Any(scenario.IsMeantBy)
            : options.Quick ? scenario.Quick : true)];
        var results = new List<ScenarioResult>();
        foreach (Scenario scenario in chosen)
        {
            await output.WriteLineAsync($"{scenario.Id}  {scenario.Title}");
            ScenarioResult result = await RunOneAsync(scenario, options, text => output.WriteLine($"      {text}"), cancellationToken);
            results.Add(result);
            await output.WriteLineAsync($"      {(result.Passed ? "passed" : "FAILED")} in {result.Seconds:0.0} s: {ReportFiles.Figures(result)}");
        }

        return new ChaosResult
        {
            Version = typeof(ChaosRun).Assembly.GetName().Version?.ToString(3) ?? "",
            Redis = await RedisVersionAsync(options.RedisProgram, cancellationToken),
            Seed = options.Seed,
            Mode = options.Only.Count > 0 ? string.Join(',', options.Only) : options.Quick ? "quick" : "full",
            Machine = $"{Environment.ProcessorCount} processors, {RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}",
            StartedAt = startedAt,
            Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Scenarios = results,
        };
    }

    /// <summary>Never throws for what the scenario does: that it could not be carried out is a failure of it.</summary>
    public static async Task<ScenarioResult> RunOneAsync(Scenario scenario, ChaosOptions options, Action<string> progress, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Longest + TimeSpan.FromSeconds(options.SoakSeconds));
        var stage = new Stage(options, options.Seed, progress, limit.Token);
        await using (stage)
        {
            try
            {
                await scenario.Run(stage);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                stage.Check("carried out", false, e.ToString());
            }
        }

        return new ScenarioResult
        {
            Id = scenario.Id,
            Title = scenario.Title,
            Where = scenario.Where,
            Passed = stage.Checks.Any(check => !check.IsAim) && stage.Checks.All(check => check.Passed || check.IsAim),
            Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Acknowledged = stage.Account?.Acknowledged ?? 0,
            Unknown = stage.Account?.Unknown ?? 0,
            Executed = stage.Account?.Executions ?? 0,
            Dead = stage.Account?.Dead ?? 0,
            Lost = stage.Account?.Lost.Count ?? 0,
            LostAllowed = stage.LostAllowed,
            Ghosts = stage.Account?.Ghosts.Count ?? 0,
            Duplicates = stage.Account?.Duplicates ?? 0,
            DuplicateBound = stage.DuplicateBound,
            LateAcks = stage.Stats?.Totals.GetValueOrDefault("late") ?? 0,
            RecoverySeconds = stage.Recovery?.TotalSeconds,
            Checks = stage.Checks,
            Notes = stage.Notes,
        };
    }

    private static async Task<string> RedisVersionAsync(string program, CancellationToken cancellationToken)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, "--version") { RedirectStandardOutput = true })!;
        string text = await process.StandardOutput.ReadToEndAsync(cancellationToken);
        string? version = text.Split(' ').FirstOrDefault(word => word.StartsWith("v=", StringComparison.Ordinal));
        return $"{Path.GetFileName(program)} {version?[2..] ?? text.Trim()}";
    }
}
