using System.Globalization;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Usage;
using Slipway.BuildCache.Wire;

namespace Slipway.BuildCache.Insight;

/// <summary>Which invocation a call belongs to.</summary>
internal readonly record struct InvocationKey(Guid CacheId, string Sub, string Id, string PrincipalId);

/// <summary>An invocation as far as this batch knows it; the counters are what to add.</summary>
internal sealed class InvocationDelta(string principalName, string credentialId, RequestMetadata metadata, DateTimeOffset firstSeen)
{
    public string PrincipalName => principalName;

    public string CredentialId => credentialId;

    public RequestMetadata Metadata => metadata;

    public DateTimeOffset FirstSeen { get; } = firstSeen;

    public DateTimeOffset LastSeen { get; set; } = firstSeen;

    public UsageCounters Counters { get; } = new();
}

internal readonly record struct UsageKey(Guid CacheId, DateTimeOffset Hour, string PrincipalId);

internal sealed record UsageDelta(Guid OrgId, string CacheName, string PrincipalName, UsageCounters Counters);

internal readonly record struct MissRow(InvocationKey Invocation, BlobDigest Action, MissReason Reason, BlobDigest Missing, string Mnemonic, string Target, DateTimeOffset At);

internal readonly record struct ProducerRow(InvocationKey Invocation, BlobDigest Action, string PrincipalName, string Tool, string Mnemonic, string Target, TimeSpan Cost, DateTimeOffset At);

/// <summary>What was recorded since the last time it was written to the database, added up. Used by one thread at a time.</summary>
internal sealed class InsightBatch
{
    /// <summary>Bounds of a batch that can't be written because the database is away: about 50 MB.</summary>
    private const int MostRows = 100_000;

    /// <summary>A client without an invocation id that was quiet for so long begins another invocation.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(5);

    /// <summary>Longest id and label kept: a target in a deep tree has some 300 characters.</summary>
    private const int LongestText = 512;

    private readonly Dictionary<(Guid CacheId, string Sub, string PrincipalId, string Tool), (string Id, DateTimeOffset LastSeen)> unnamed = [];
    private readonly Dictionary<string, RequestMetadata> tools = new(StringComparer.Ordinal);
    private string? lastHeader;
    private RequestMetadata lastMetadata = RequestMetadata.None;

    public Dictionary<InvocationKey, InvocationDelta> Invocations { get; } = [];

    public Dictionary<UsageKey, UsageDelta> Usage { get; } = [];

    public List<MissRow> Misses { get; } = [];

    /// <summary>The last writer of each action, as the database has it too.</summary>
    public Dictionary<(Guid CacheId, string Sub, Content.Digest Action), ProducerRow> Producers { get; } = [];

    public bool IsEmpty => Usage.Count == 0;

    /// <summary>Rows that had no room.</summary>
    public long Dropped { get; private set; }

    public void Add(in RequestRecord record, DateTimeOffset now)
    {
        // A client sends the same header with every call for one action.
        if (!ReferenceEquals(record.Metadata, lastHeader) && record.Metadata != lastHeader)
        {
            lastHeader = record.Metadata;
            lastMetadata = RequestMetadata.Parse(record.Metadata);
        }

        var metadata = record.Tool is null ? lastMetadata : ToolOf(record.Tool);
        var access = record.Access;
        var caller = access.Caller;
        var principal = caller.IsAnonymous ? "anonymous" : caller.PrincipalId.ToString("n");
        var hour = new DateTimeOffset(now.Ticks - (now.Ticks % TimeSpan.TicksPerHour), TimeSpan.Zero);
        var usage = new UsageKey(access.Cache.Id, hour, principal);
        if (!Usage.TryGetValue(usage, out var used))
        {
            if (Usage.Count >= MostRows)
            {
                Dropped++;
                return;
            }

            Usage.Add(usage, used = new UsageDelta(access.Cache.OrgId, access.Cache.Name, NameOf(access), new UsageCounters()));
        }

        used.Counters.Add(record);
        var key = new InvocationKey(access.Cache.Id, access.Sub, InvocationOf(access, metadata, principal, now), principal);
        if (!Invocations.TryGetValue(key, out var invocation))
        {
            if (Invocations.Count >= MostRows)
            {
                Dropped++;
                return;
            }

            Invocations.Add(key, invocation = new InvocationDelta(NameOf(access), caller.CredentialId ?? "", metadata, now));
        }

        invocation.LastSeen = now;
        invocation.Counters.Add(record);
        switch (record.Kind)
        {
            case RequestKind.ActionMiss when Misses.Count >= MostRows:
            case RequestKind.ActionWrite when Producers.Count >= MostRows:
                Dropped++;
                break;
            case RequestKind.ActionMiss when IsAction(record):
                Misses.Add(new MissRow(key, record.Subject, record.Reason, record.MissingBlob, Clean(metadata.ActionMnemonic), Clean(metadata.TargetId), now));
                break;
            case RequestKind.ActionWrite when IsAction(record):
                Producers[(key.CacheId, key.Sub, record.Subject.Key.Hash)] =
                    new ProducerRow(key, record.Subject, NameOf(access), Clean(metadata.ToolName), Clean(metadata.ActionMnemonic), Clean(metadata.TargetId), record.Cost, now);
                break;
        }
    }

    /// <summary>Forgets what was written.</summary>
    public void Clear()
    {
        Invocations.Clear();
        Usage.Clear();
        Misses.Clear();
        Producers.Clear();
        Dropped = 0;
        if (unnamed.Count > MostRows)
        {
            unnamed.Clear();
        }
    }

    /// <summary>PostgreSQL's text has no NUL, and a terminal should see no control characters.</summary>
    public static string Clean(string text)
    {
        text = text.Length > LongestText ? text[..LongestText] : text;
        return text.AsSpan().ContainsAnyInRange('\0', '\x1F') || text.Contains('\x7F')
            ? string.Create(text.Length, text, static (span, from) =>
            {
                for (var i = 0; i < span.Length; i++)
                {
                    span[i] = char.IsControl(from[i]) ? '?' : from[i];
                }
            })
            : text;
    }

    // What other tools keep under keys of their own has no action behind it that could be asked for.
    private static bool IsAction(in RequestRecord record) => record.Subject != default;

    private static string NameOf(BuildCacheAccess access) => access.Caller.IsAnonymous ? "anybody" : access.Caller.Name;

    private RequestMetadata ToolOf(string name)
    {
        if (!tools.TryGetValue(name, out var metadata))
        {
            tools.Add(name, metadata = RequestMetadata.None with { ToolName = name });
        }

        return metadata;
    }

    private string InvocationOf(BuildCacheAccess access, RequestMetadata metadata, string principal, DateTimeOffset now)
    {
        if (metadata.InvocationId.Length > 0)
        {
            return Clean(metadata.InvocationId);
        }

        // Two tools at once are two invocations, also when they begin in the same second.
        var key = (access.Cache.Id, access.Sub, principal, metadata.ToolName);
        var id = unnamed.TryGetValue(key, out var known) && now - known.LastSeen < Pause
            ? known.Id
            : string.Create(CultureInfo.InvariantCulture, $"{(metadata.ToolName.Length == 0 ? "at" : Clean(metadata.ToolName))}-{now.UtcDateTime:yyyyMMdd'T'HHmmss}");
        unnamed[key] = (id, now);
        return id;
    }
}
