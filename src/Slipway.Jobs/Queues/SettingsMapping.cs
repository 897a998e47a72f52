using System.Collections.Frozen;
using System.Text.Json;
using System.Text.Json.Nodes;
using Slipway.Api;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Queues;

/// <summary>Settings between the API's words and the queue's, and what is wrong with some.</summary>
internal static class SettingsMapping
{
    private const int MostTypes = 32;

    /// <summary>A year: beyond it a time is a mistake in its unit.</summary>
    private static readonly long LongestMs = (long)TimeSpan.FromDays(365).TotalMilliseconds;

    public static JobQueueSettings Default(JobsOptions options)
    {
        var settings = Shown(new QueueSettings());
        return settings with { MaxJobs = Math.Min(settings.MaxJobs, options.MaxJobs), MaxBytes = Math.Min(options.DefaultBytes, options.MaxBytes) };
    }

    /// <summary><paramref name="now"/> with the change, which must be free of faults.</summary>
    public static JobQueueSettings With(this JobQueueSettings now, JobQueueSettingsChange? change)
    {
        if (change is null)
        {
            return now;
        }

        var types = new Dictionary<string, JobTypeLimits>(now.Types, StringComparer.Ordinal);
        foreach (var (type, limits) in change.Types ?? FrozenDictionary<string, JobTypeLimits?>.Empty)
        {
            if (limits is null)
            {
                types.Remove(type);
            }
            else
            {
                types[type] = limits;
            }
        }

        return new JobQueueSettings(
            change.Paused ?? now.Paused,
            change.Weighted ?? now.Weighted,
            change.Weights ?? now.Weights,
            change.MaxJobs ?? now.MaxJobs,
            change.MaxBytes ?? now.MaxBytes,
            change.MaxAgeMs ?? now.MaxAgeMs,
            change.MaxLostLeases ?? now.MaxLostLeases,
            change.MaxDead ?? now.MaxDead,
            change.DeadOverflow ?? now.DeadOverflow,
            change.Retry ?? now.Retry,
            change.KeepTrackedMs ?? now.KeepTrackedMs,
            types);
    }

    public static void Check(Faults faults, JobQueueSettingsChange? change, JobsOptions options)
    {
        if (change is null)
        {
            return;
        }

        faults.Require(change.Weights is null || (change.Weights.Count == 8 && change.Weights.All(weight => weight is >= 1 and <= 1000)),
            "/settings/weights", "must be eight numbers from 1 to 1000, one for each priority");
        faults.Require(change.MaxJobs is null || (change.MaxJobs >= 1 && change.MaxJobs <= options.MaxJobs), "/settings/maxJobs", $"must be 1 to {options.MaxJobs} here");
        faults.Require(change.MaxBytes is null || (change.MaxBytes >= 1024 && change.MaxBytes <= options.MaxBytes), "/settings/maxBytes", $"must be 1024 to {options.MaxBytes} here");
        Time(change.MaxAgeMs, 0, "/settings/maxAgeMs");
        faults.Require(change.MaxLostLeases is null or (>= 1 and <= 100), "/settings/maxLostLeases", "must be 1 to 100");
        faults.Require(change.MaxDead is null || (change.MaxDead >= 1 && change.MaxDead <= options.MaxJobs), "/settings/maxDead", $"must be 1 to {options.MaxJobs} here");
        faults.Require(change.DeadOverflow is null or "pause" or "dropOldest", "/settings/deadOverflow", "must be pause or dropOldest");
        if (change.Retry is { } retry)
        {
            faults.Require(retry.MaxAttempts is >= 1 and <= 100, "/settings/retry/maxAttempts", "must be 1 to 100");
            Time(retry.FirstDelayMs, 0, "/settings/retry/firstDelayMs");
            Time(retry.MaxDelayMs, retry.FirstDelayMs, "/settings/retry/maxDelayMs");
        }

        Time(change.KeepTrackedMs, 1000, "/settings/keepTrackedMs");
        foreach (var (type, limits) in change.Types ?? FrozenDictionary<string, JobTypeLimits?>.Empty)
        {
            var at = $"/settings/types/{type}";
            faults.Require(type.Length == 0 || JobText.IsType(type), at, JobText.TypeRule);
            if (limits is not null)
            {
                faults.Require(limits.Concurrency is >= 0 and <= 1_000_000, at + "/concurrency", "must be 0 (no limit) to 1000000");
                faults.Require(limits.Rate is >= 0 and <= 1e9, at + "/rate", "must be 0 (no limit) to 1000000000 a second");
                faults.Require(limits.Burst is >= 0 and <= 1e9, at + "/burst", "must be 0 (one second's worth) to 1000000000");
                faults.Require(limits.BreakAfter is >= 0 and <= 1_000_000, at + "/breakAfter", "must be 0 (no breaker) to 1000000");
                Time(limits.BreakForMs, 1, at + "/breakForMs");
                faults.Require(type.Length > 0 || !limits.Paused, at + "/paused", "is settings.paused for the whole queue");
                faults.Require(type.Length > 0 || limits.BreakAfter == 0, at + "/breakAfter", "must be 0 for the whole queue: circuits are those of job types");
            }
        }

        void Time(long? ms, long least, string pointer) => faults.Require(ms is null || (ms >= least && ms <= LongestMs), pointer, $"must be {least} to {LongestMs} milliseconds");
    }

    /// <summary>What only the whole tells.</summary>
    public static void CheckWhole(Faults faults, JobQueueSettings settings) =>
        faults.Require(settings.Types.Count <= MostTypes, "/settings/types", $"would name {settings.Types.Count} types; {MostTypes} is the limit");

    /// <summary>Whatever the order of the types: the database keeps them in one of its own.</summary>
    public static bool Same(JobQueueSettings one, JobQueueSettings other) =>
        JsonNode.DeepEquals(JsonSerializer.SerializeToNode(one, ApiJson.Default.JobQueueSettings), JsonSerializer.SerializeToNode(other, ApiJson.Default.JobQueueSettings));

    public static JobQueueSettings Shown(QueueSettings settings) => new(
        settings.Paused,
        settings.Weighted,
        settings.Weights,
        settings.MaxJobs,
        settings.MaxBytes,
        (long)settings.MaxAge.TotalMilliseconds,
        settings.MaxLostLeases,
        settings.MaxDead,
        settings.DeadOverflow == DeadOverflow.Pause ? "pause" : "dropOldest",
        new JobRetryPolicy(settings.Retry.MaxAttempts, (long)settings.Retry.FirstDelay.TotalMilliseconds, (long)settings.Retry.MaxDelay.TotalMilliseconds),
        (long)settings.KeepTracked.TotalMilliseconds,
        settings.Types.ToDictionary(pair => pair.Key, pair => Shown(pair.Value), StringComparer.Ordinal));

    public static JobTypeLimits Shown(TypeLimits limits) =>
        new(limits.Paused, limits.Concurrency, limits.Rate, limits.Burst, limits.BreakAfter, (long)limits.BreakFor.TotalMilliseconds);

    public static QueueSettings ToQueue(this JobQueueSettings settings) => new()
    {
        Paused = settings.Paused,
        Weighted = settings.Weighted,
        Weights = settings.Weights,
        MaxJobs = settings.MaxJobs,
        MaxBytes = settings.MaxBytes,
        MaxAge = TimeSpan.FromMilliseconds(settings.MaxAgeMs),
        MaxLostLeases = settings.MaxLostLeases,
        MaxDead = settings.MaxDead,
        DeadOverflow = settings.DeadOverflow == "pause" ? DeadOverflow.Pause : DeadOverflow.DropOldest,
        Retry = new RetryPolicy
        {
            MaxAttempts = settings.Retry.MaxAttempts,
            FirstDelay = TimeSpan.FromMilliseconds(settings.Retry.FirstDelayMs),
            MaxDelay = TimeSpan.FromMilliseconds(settings.Retry.MaxDelayMs),
        },
        KeepTracked = TimeSpan.FromMilliseconds(settings.KeepTrackedMs),
        Types = settings.Types.ToDictionary(
            pair => pair.Key,
            pair => new TypeLimits
            {
                Paused = pair.Value.Paused,
                Concurrency = pair.Value.Concurrency,
                Rate = pair.Value.Rate,
                Burst = pair.Value.Burst,
                BreakAfter = pair.Value.BreakAfter,
                BreakFor = TimeSpan.FromMilliseconds(pair.Value.BreakForMs),
            },
            StringComparer.Ordinal),
    };
}
