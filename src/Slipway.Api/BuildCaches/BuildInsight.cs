namespace Slipway.Api;

/// <summary>What some calls to a build cache came to.</summary>
/// <param name="ActionHits">Results that were served: actions nobody had to run.</param>
/// <param name="ActionMisses">Results that were asked for and not here, or not complete.</param>
/// <param name="BlobMisses">Blobs that were asked for and not here. Asking what is missing before an upload is not counted.</param>
/// <param name="BytesDown">Bytes of blobs and results sent to clients, as they crossed the wire.</param>
/// <param name="BytesUp">Bytes received.</param>
/// <param name="TookMs">Time the server spent on them, all together; a stream counts from its first message to its last.</param>
/// <param name="SavedMs">How long the actions behind the hits had run, as far as their results tell.</param>
public sealed record BuildUsage(
    long Calls,
    long ActionHits,
    long ActionMisses,
    long ActionWrites,
    long BlobReads,
    long BlobMisses,
    long BlobWrites,
    long BytesDown,
    long BytesUp,
    double TookMs,
    double LongestMs,
    double SavedMs)
{
    /// <summary>Hits of all results asked for, 0 to 1; null when none was.</summary>
    public double? HitRate => ActionHits + ActionMisses == 0 ? null : (double)ActionHits / (ActionHits + ActionMisses);
}

/// <summary>A build cache over some hours.</summary>
/// <param name="Since">Whole hours.</param>
/// <param name="Users">By bytes, most first; 20 at most.</param>
/// <param name="TopMisses">What missed most often, 20 at most.</param>
/// <param name="Invocations">The latest, 20 at most.</param>
public sealed record BuildCacheStats(
    string InstanceName,
    DateTimeOffset Since,
    BuildUsage Totals,
    IReadOnlyList<BuildUserUsage> Users,
    IReadOnlyList<BuildMissCount> TopMisses,
    IReadOnlyList<BuildInvocation> Invocations);

/// <param name="User">A user or service account; <c>anybody</c> for calls without a credential.</param>
public sealed record BuildUserUsage(string User, BuildUsage Usage);

/// <summary>Misses of one kind of action of one target.</summary>
/// <param name="Mnemonic">Such as <c>CppCompile</c>; empty when the client does not tell.</param>
/// <param name="Target">A label; empty when the client does not tell.</param>
/// <param name="LastAction">The action that missed last, as <c>hash/size</c>.</param>
public sealed record BuildMissCount(string Mnemonic, string Target, long Misses, long Incomplete, string LastAction);

/// <summary>One run of a build tool against a build cache.</summary>
/// <param name="Id">The client's own id; <c>at-…</c>, made by the server, for clients that send none.</param>
/// <param name="Tool">Such as <c>bazel</c>; null when the client does not tell.</param>
/// <param name="CorrelatedId">What several runs of one CI job have in common, if the client tells.</param>
/// <param name="CredentialId">The key or session it came with.</param>
public sealed record BuildInvocation(
    string Id,
    string InstanceName,
    string? Tool,
    string? ToolVersion,
    string? CorrelatedId,
    string User,
    string? CredentialId,
    DateTimeOffset FirstSeen,
    DateTimeOffset LastSeen,
    BuildUsage Usage);

/// <param name="Misses">The first 1,000.</param>
public sealed record BuildInvocationDetail(BuildInvocation Invocation, IReadOnlyList<ActionMiss> Misses);

/// <summary>A time an action's result was asked for and not served.</summary>
/// <param name="Action">As <c>hash/size</c>.</param>
/// <param name="Reason"><c>absent</c>, <c>incomplete</c>, <c>other_size</c> or <c>unreadable</c>.</param>
/// <param name="MissingBlob">The first blob that an incomplete result lacked.</param>
public sealed record ActionMiss(string Action, string Reason, string? MissingBlob, string Mnemonic, string Target, string Invocation, DateTimeOffset At);

/// <summary>Who wrote the result of an action.</summary>
public sealed record ActionProducer(string Action, string InstanceName, string User, string? Tool, string Invocation, string Mnemonic, string Target, double CostMs, DateTimeOffset At);

/// <summary>Why an action hits or misses.</summary>
/// <param name="Verdict">
/// <c>hit</c>; <c>incomplete</c>: a blob is missing; <c>other_size</c>; <c>unreadable</c>; <c>evicted</c>: it was written here and is gone;
/// <c>elsewhere</c>: written in another sub-namespace; <c>changed</c>: the same target was built from other inputs; <c>never_seen</c>.
/// </param>
/// <param name="Explanation">In words for a person, with what to do.</param>
/// <param name="Producer">Who wrote it here last, if that is known.</param>
/// <param name="Elsewhere">Who wrote it in other sub-namespaces of the cache.</param>
/// <param name="Alike">The latest results of the same target and mnemonic: the same thing built from other inputs.</param>
/// <param name="Misses">The latest times it missed.</param>
public sealed record ActionExplanation(
    string Action,
    string InstanceName,
    string Verdict,
    string Explanation,
    string? MissingBlob,
    ActionProducer? Producer,
    IReadOnlyList<ActionProducer> Elsewhere,
    IReadOnlyList<ActionProducer> Alike,
    IReadOnlyList<ActionMiss> Misses);

/// <summary>A blob of a build cache.</summary>
/// <param name="Digest"><c>sha256:</c> or <c>blake3:</c> and 64 hex digits.</param>
/// <param name="Bytes">Unpacked.</param>
/// <param name="StoredBytes">In a segment; null: in a file of its own.</param>
/// <param name="Compression"><c>none</c> or <c>zstd</c>: how it is kept.</param>
/// <param name="LastUsed">To the second.</param>
public sealed record BlobStat(string Digest, long Bytes, long? StoredBytes, string Compression, DateTimeOffset LastUsed);
