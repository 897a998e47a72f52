using System.Text.Json.Serialization;

namespace Slipway.Chaos.Reports;

/// <param name="Detail">The figures it was decided by.</param>
/// <param name="IsAim">About speed: what a machine of one's own reaches. A busy one may miss it, and nothing is wrong.</param>
internal sealed record CheckResult(string What, bool Passed, string Detail, bool IsAim = false);

/// <summary>What came out of one scenario.</summary>
internal sealed record ScenarioResult
{
    public required string Id { get; init; }

    public required string Title { get; init; }

    public required string Where { get; init; }

    /// <summary>Whatever the aims say.</summary>
    public required bool Passed { get; init; }

    public int AimsMissed => Checks.Count(check => check is { IsAim: true, Passed: false });

    public double Seconds { get; init; }

    /// <summary>Enqueues that the server acknowledged.</summary>
    public long Acknowledged { get; init; }

    /// <summary>Enqueues without an answer.</summary>
    public long Unknown { get; init; }

    /// <summary>Runs of handlers.</summary>
    public long Executed { get; init; }

    public long Dead { get; init; }

    public long Lost { get; init; }

    /// <summary>Of acknowledged jobs that the scenario allows to be lost (see its notes); 0 but where the server's fsync promises no more.</summary>
    public long LostAllowed { get; init; }

    public long Ghosts { get; init; }

    public long Duplicates { get; init; }

    public string DuplicateBound { get; init; } = "0";

    /// <summary>Ends that were refused by fencing, as the queue counts them.</summary>
    public long LateAcks { get; init; }

    /// <summary>Until the throughput was at 90 % of that before the fault; null: there was no outage to recover from.</summary>
    public double? RecoverySeconds { get; init; }

    public IReadOnlyList<CheckResult> Checks { get; init; } = [];

    public IReadOnlyList<string> Notes { get; init; } = [];
}

/// <summary>A whole run of <c>slipway jobs chaos</c>.</summary>
internal sealed record ChaosResult
{
    public required string Version { get; init; }

    public required string Redis { get; init; }

    public required int Seed { get; init; }

    public required string Mode { get; init; }

    public required string Machine { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    public required double Seconds { get; init; }

    public bool Passed => Scenarios.All(scenario => scenario.Passed);

    public int AimsMissed => Scenarios.Sum(scenario => scenario.AimsMissed);

    public required IReadOnlyList<ScenarioResult> Scenarios { get; init; }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ChaosResult))]
internal sealed partial class ReportJson : JsonSerializerContext;
