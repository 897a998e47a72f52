using System.Text;
using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>
/// The keys of one queue. One hash tag, so that a cluster keeps them on one node; "2" is the version of their layout: a version
/// that changes it uses other keys. There are no others: whatever there can be many of is a field or an element of one of these.
/// </summary>
internal sealed class QueueKeys
{
    private readonly string prefix;

    public QueueKeys(string queue)
    {
        prefix = $"{{slipway:q:{queue}}}:2:";
        Wake = Key("wake");
        WakeChannel = prefix + "wake";
        Meta = Key("meta");
        Totals = Key("totals");
        Leases = Key("leases");
        Blocks = Key("blocks");
        Acked = Key("acked");
        Delayed = Key("delayed");
        Limits = Key("limits");
        Jobs = Key("jobs");
        Dead = Key("dead");
        Reasons = Key("reasons");
        Unique = Key("unique");
        Expiry = Key("expiry");
        Big = Key("big");
        Batches = Key("batches");
        Waiting = Key("waiting");
        Producers = Key("producers");
        Cron = Key("cron");
        Workers = Key("workers");
        History = Key("history");
        Ready = [.. Enumerable.Range(0, 8).Select(level => Key($"ready:{level}"))];
        Enqueue = [Meta, Totals, Delayed, Producers, .. Ready];
        Fetch = [Meta, Totals, Leases, Blocks, Acked, Delayed, Limits, Jobs, .. Ready];
        All = [Meta, Totals, Leases, Blocks, Acked, Delayed, Limits, Jobs, Dead, Reasons, Unique, Expiry, Big, Batches, Waiting, Producers, Cron, .. Ready];
    }

    /// <summary>Hash: version, json and fields of the settings; live, bytes, token, turn, levels, seen, grace, halted.</summary>
    public RespArgument Meta { get; }

    /// <summary>Hash: counters since the first job.</summary>
    public RespArgument Totals { get; }

    /// <summary>Sorted set: block id <c>token.size.bytes.lane.worker</c>, deadline ms.</summary>
    public RespArgument Leases { get; }

    /// <summary>Hash: block id, its entries as a MessagePack list.</summary>
    public RespArgument Blocks { get; }

    /// <summary>Hash: block id, bitmap of the entries that ended.</summary>
    public RespArgument Acked { get; }

    /// <summary>Sorted set: entry, due ms.</summary>
    public RespArgument Delayed { get; }

    /// <summary>Hash: lane number, state of its limits (parts/limits.lua).</summary>
    public RespArgument Limits { get; }

    /// <summary>Hash: id, what is kept of a tracked job (parts/ends.lua).</summary>
    public RespArgument Jobs { get; }

    /// <summary>Stream: e entry, r reason, m error.</summary>
    public RespArgument Dead { get; }

    /// <summary>Hash: reason, count of dead letters.</summary>
    public RespArgument Reasons { get; }

    /// <summary>Hash: unique key, id of the job that holds it.</summary>
    public RespArgument Unique { get; }

    /// <summary>Sorted set: u + unique key, j + tracked id, b + batch id; ms when it is forgotten.</summary>
    public RespArgument Expiry { get; }

    /// <summary>Hash: id, payload that was too large for the entry.</summary>
    public RespArgument Big { get; }

    /// <summary>Hash: batch id, its counts (parts/ends.lua).</summary>
    public RespArgument Batches { get; }

    /// <summary>Hash: id, entry of a job that waits for others.</summary>
    public RespArgument Waiting { get; }

    /// <summary>Hash: producer, "last sequence, ms".</summary>
    public RespArgument Producers { get; }

    /// <summary>Hash: schedule, last slot that was fired, ms.</summary>
    public RespArgument Cron { get; }

    /// <summary>Hash: worker, "ms about".</summary>
    public RespArgument Workers { get; }

    /// <summary>Hash: "minute type", counts.</summary>
    public RespArgument History { get; }

    /// <summary>Lists by level; the next one at the right end.</summary>
    public RespArgument[] Ready { get; }

    public RespArgument[] Enqueue { get; }

    public RespArgument[] Fetch { get; }

    /// <summary>In the order of Scripts/parts/keys.lua.</summary>
    public RespArgument[] All { get; }

    /// <summary>Channel: empty = something became ready, or will be earlier than was known; c + id = cancel; s = new settings.</summary>
    public RespArgument Wake { get; }

    public string WakeChannel { get; }

    /// <summary>List of a limited type's jobs that wait for its limits; the next one at the left end.</summary>
    public RespArgument Held(int lane) => Key($"held:{lane}");

    /// <summary>String: what one call that may be repeated was answered. Not the scripts'; Redis forgets it by itself.</summary>
    public RespArgument Once(string mark) => Key($"once:{mark}");

    private RespArgument Key(string name) => Encoding.ASCII.GetBytes(prefix + name);
}
