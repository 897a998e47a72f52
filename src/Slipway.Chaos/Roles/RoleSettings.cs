using System.Text.Json.Serialization;

namespace Slipway.Chaos.Roles;

/// <summary>Of a worker process (or of one inside this one).</summary>
internal sealed record WorkerSettings
{
    public string Url { get; init; } = "";

    public string Queue { get; init; } = "";

    /// <summary>Records of its runs.</summary>
    public string Log { get; init; } = "";

    public int Concurrency { get; init; } = 16;

    public int LeaseMilliseconds { get; init; } = 10_000;

    public int StopGraceMilliseconds { get; init; } = 10_000;

    public int CancelGraceMilliseconds { get; init; } = 30_000;

    public int TimeoutMilliseconds { get; init; } = 60_000;

    public int CommandTimeoutMilliseconds { get; init; } = 10_000;

    /// <summary>Runs in all of a job that throws.</summary>
    public int Attempts { get; init; } = 3;

    /// <summary>Between attempts.</summary>
    public int RetryMilliseconds { get; init; } = 50;
}

/// <summary>Of a producer process.</summary>
internal sealed record ProducerSettings
{
    public string Url { get; init; } = "";

    public string Queue { get; init; } = "";

    /// <summary>Records of what it offered and was told.</summary>
    public string Log { get; init; } = "";

    /// <summary>Its number in the ids, from 1.</summary>
    public int Number { get; init; } = 1;

    /// <summary>Jobs per second; what it could not send in time is not sent later. 0: as fast as it goes.</summary>
    public int Rate { get; init; }

    /// <summary>Jobs in all; 0: until it is told to stop.</summary>
    public long Total { get; init; }

    /// <summary>Per call.</summary>
    public int Block { get; init; } = 100;

    /// <summary>Calls in flight.</summary>
    public int Lanes { get; init; } = 4;

    public WorkKind Kind { get; init; }

    public int Microseconds { get; init; }

    public int PayloadBytes { get; init; } = JobWork.DefaultPadding;

    /// <summary>All jobs of this level; -1: one after the other of 0–7.</summary>
    public int Level { get; init; } = 3;

    public int CommandTimeoutMilliseconds { get; init; } = 10_000;
}

[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
[JsonSerializable(typeof(WorkerSettings))]
[JsonSerializable(typeof(ProducerSettings))]
internal sealed partial class RoleJson : JsonSerializerContext;
