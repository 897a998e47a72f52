using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>
/// The settings as Redis keeps them: the whole as JSON for people, and the fields that scripts decide by. Limited types have a
/// lane: a number that stays theirs and a list of jobs that wait for the limits.
/// </summary>
/// <param name="Lanes">By type. A type whose limits were removed keeps its lane, without limits, until that is empty.</param>
internal sealed record StoredSettings(string Version, QueueSettings Settings, IReadOnlyDictionary<string, int> Lanes, int LastLane)
{
    public static readonly StoredSettings None = new("", new QueueSettings(), new Dictionary<string, int>(), 0);

    private RespArgument[]? fetchKeys;

    /// <summary>In the order in which scripts are told of the lists.</summary>
    public IReadOnlyList<string> LaneOrder { get; } = [.. Lanes.OrderBy(lane => lane.Value).Select(lane => lane.Key)];

    public RespArgument[] FetchKeys(QueueKeys keys) => fetchKeys ??= [.. keys.Fetch, .. LaneOrder.Select(type => keys.Held(Lanes[type]))];

    public static StoredSettings Read(string version, ReadOnlySpan<byte> json)
    {
        SettingsDocument document = JsonSerializer.Deserialize(json, SettingsJson.Default.SettingsDocument)!;
        return new StoredSettings(version, document.Settings, document.Lanes, document.LastLane);
    }

    /// <summary>The next version. Types that lost their limits keep a lane when <paramref name="keepLanes"/>.</summary>
    public StoredSettings With(QueueSettings changed, bool keepLanes)
    {
        var lanes = new Dictionary<string, int>();
        int last = LastLane;
        foreach (string type in changed.Types.Keys.Where(type => type.Length > 0))
        {
            lanes[type] = Lanes.TryGetValue(type, out int lane) ? lane : ++last;
        }

        if (keepLanes)
        {
            foreach ((string type, int lane) in Lanes)
            {
                lanes.TryAdd(type, lane);
            }
        }

        return new StoredSettings(Guid.NewGuid().ToString("N"), changed, lanes, last);
    }

    /// <summary>Name, value (empty: remove), name, value, …</summary>
    public IEnumerable<RespArgument> Fields()
    {
        QueueSettings s = Settings;
        (string Name, RespArgument Value)[] fields =
        [
            ("json", JsonSerializer.SerializeToUtf8Bytes(new SettingsDocument(s, Lanes, LastLane), SettingsJson.Default.SettingsDocument)),
            ("maxjobs", s.MaxJobs),
            ("maxbytes", s.MaxBytes),
            ("maxage", s.MaxAge > TimeSpan.Zero ? (long)s.MaxAge.TotalMilliseconds : ""),
            ("maxlost", s.MaxLostLeases),
            ("maxdead", s.MaxDead),
            ("dropdead", s.DeadOverflow is DeadOverflow.DropOldest ? "1" : ""),
            ("attempts", s.Retry.MaxAttempts),
            ("firstdelay", (long)s.Retry.FirstDelay.TotalMilliseconds),
            ("maxdelay", (long)s.Retry.MaxDelay.TotalMilliseconds),
            ("halted", s.Paused ? "settings" : ""),
            ("weights", s.Weighted ? Weights() : ""),
            ("types", Lanes.Count > 0 || s.Types.Count > 0 ? Types() : ""),
            ("whole", s.Types.ContainsKey("") ? "1" : ""),
            ("breakers", s.Types.Any(type => type.Value.BreakAfter > 0) ? Breakers() : ""),
        ];
        foreach ((string name, RespArgument value) in fields)
        {
            yield return name;
            yield return value;
        }
    }

    private RespArgument Weights()
    {
        MsgpackWriter list = new MsgpackWriter().Array(8);
        foreach (int weight in Settings.Weights)
        {
            list.Number(weight);
        }

        return list.Written;
    }

    /// <summary>{type: {lane, concurrency, rate, burst, 0, 0, place among the keys, 1 = paused}}</summary>
    private RespArgument Types()
    {
        string[] names = [.. Settings.Types.Keys.Union(Lanes.Keys)];
        MsgpackWriter map = new MsgpackWriter().Map(names.Length);
        foreach (string name in names)
        {
            TypeLimits limits = Settings.Types.GetValueOrDefault(name) ?? new TypeLimits();
            int lane = name.Length == 0 ? 0 : Lanes[name];
            int place = name.Length == 0 ? 0 : LaneOrder.Index().First(one => one.Item == name).Index + 1;
            double burst = limits.Burst > 0 ? limits.Burst : Math.Max(1, limits.Rate);
            map.Text(name).Array(8).Number(lane).Number(limits.Concurrency).Number(limits.Rate).Number(burst)
                .Number(0).Number(0).Number(place).Number(limits.Paused ? 1 : 0);
        }

        return map.Written;
    }

    private RespArgument Breakers()
    {
        (string Type, TypeLimits Limits)[] breaking = [.. Settings.Types.Where(type => type.Value.BreakAfter > 0 && type.Key.Length > 0).Select(type => (type.Key, type.Value))];
        MsgpackWriter map = new MsgpackWriter().Map(breaking.Length);
        foreach ((string type, TypeLimits limits) in breaking)
        {
            map.Text(Lanes[type].ToString(CultureInfo.InvariantCulture)).Array(2).Number(limits.BreakAfter).Number(limits.BreakFor.TotalMilliseconds);
        }

        return map.Written;
    }

    /// <exception cref="ArgumentException">Names every fault.</exception>
    public static void Check(QueueSettings settings)
    {
        var faults = new List<string>();
        void Must(bool holds, string rule)
        {
            if (!holds)
            {
                faults.Add(rule);
            }
        }

        Must(settings.Weights.Count == 8 && settings.Weights.All(weight => weight is >= 1 and <= 1000), "weights are eight numbers from 1 to 1000");
        Must(settings.MaxJobs is >= 1 and <= 1_000_000_000, "maxJobs is 1 to 1,000,000,000");
        Must(settings.MaxBytes >= 1, "maxBytes is at least 1");
        Must(settings.MaxAge >= TimeSpan.Zero, "maxAge is not negative");
        Must(settings.MaxLostLeases is >= 1 and <= 255, "maxLostLeases is 1 to 255");
        Must(settings.MaxDead is >= 1 and <= 100_000_000, "maxDead is 1 to 100,000,000");
        Must(settings.Retry.MaxAttempts is >= 1 and <= 255 && settings.Retry.FirstDelay >= TimeSpan.Zero && settings.Retry.MaxDelay >= settings.Retry.FirstDelay,
            "retry has 1 to 255 attempts, and a maxDelay that is not below its firstDelay");
        Must(settings.KeepTracked >= TimeSpan.Zero && settings.KeepTracked <= TimeSpan.FromDays(365), "keepTracked is at most a year");
        Must(settings.Types.Count <= 32, "at most 32 types have limits of their own");
        foreach ((string type, TypeLimits limits) in settings.Types)
        {
            Must(type.Length <= 100 && !type.AsSpan().ContainsAnyExceptInRange('!', '~'), $"'{type}' is no job type");
            Must(limits.Concurrency >= 0 && limits.BreakAfter >= 0 && limits.BreakFor > TimeSpan.Zero && double.IsFinite(limits.Rate) && limits.Rate >= 0
                && double.IsFinite(limits.Burst) && limits.Burst >= 0, $"the limits of '{type}' are not negative");
            Must(type.Length > 0 || (!limits.Paused && limits.BreakAfter == 0), "the whole queue (the empty type) is paused by paused, and has no breaker");
        }

        if (faults.Count > 0)
        {
            throw new ArgumentException("Of a queue's settings, " + string.Join("; ", faults) + ".", nameof(settings));
        }
    }
}

internal sealed record SettingsDocument(QueueSettings Settings, IReadOnlyDictionary<string, int> Lanes, int LastLane);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(SettingsDocument))]
internal sealed partial class SettingsJson : JsonSerializerContext;
