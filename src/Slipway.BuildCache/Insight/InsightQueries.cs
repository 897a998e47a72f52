using Dapper;
using Npgsql;
using Slipway.Api;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;

namespace Slipway.BuildCache.Insight;

/// <summary>What is read of the tables of insight and usage.</summary>
internal static class InsightQueries
{
    private const string Sums =
        """
        coalesce(sum(calls), 0)::bigint as calls, coalesce(sum(action_hits), 0)::bigint as action_hits, coalesce(sum(action_misses), 0)::bigint as action_misses,
        coalesce(sum(action_writes), 0)::bigint as action_writes, coalesce(sum(blob_reads), 0)::bigint as blob_reads, coalesce(sum(blob_misses), 0)::bigint as blob_misses,
        coalesce(sum(blob_writes), 0)::bigint as blob_writes, coalesce(sum(bytes_down), 0)::bigint as bytes_down, coalesce(sum(bytes_up), 0)::bigint as bytes_up,
        coalesce(sum(took_us), 0)::bigint as took_us, coalesce(max(longest_us), 0)::bigint as longest_us, coalesce(sum(saved_us), 0)::bigint as saved_us
        """;

    public static async Task<BuildUsage> TotalsAsync(NpgsqlConnection connection, Guid cache, DateTimeOffset since, CancellationToken cancellationToken) =>
        (await connection.QuerySingleAsync<UsageRow>(new CommandDefinition(
            $"select {Sums} from build_usage where cache_id = @cache and hour >= @since", new { cache, since }, cancellationToken: cancellationToken))).Shown;

    public static async Task<IReadOnlyList<BuildUserUsage>> UsersAsync(NpgsqlConnection connection, Guid cache, DateTimeOffset since, int limit, CancellationToken cancellationToken) =>
        [.. (await connection.QueryAsync<UsageRow>(new CommandDefinition(
            $"""
            select max(principal_name) as "user", {Sums} from build_usage where cache_id = @cache and hour >= @since
            group by principal_id order by sum(bytes_down) + sum(bytes_up) desc, sum(calls) desc limit @limit
            """, new { cache, since, limit }, cancellationToken: cancellationToken))).Select(row => new BuildUserUsage(row.User, row.Shown))];

    public static async Task<IReadOnlyList<BuildMissCount>> TopMissesAsync(NpgsqlConnection connection, Guid cache, DateTimeOffset since, int limit, CancellationToken cancellationToken) =>
        [.. await connection.QueryAsync<BuildMissCount>(new CommandDefinition(
            """
            select mnemonic as Mnemonic, target as Target, count(*) as Misses, count(*) filter (where reason = @incomplete) as Incomplete,
                (array_agg(encode(action_hash, 'hex') || '/' || action_size order by at desc))[1] as LastAction
            from build_miss where cache_id = @cache and at >= @since
            group by mnemonic, target order by count(*) desc, mnemonic, target limit @limit
            """, new { cache, since, limit, incomplete = (short)MissReason.Incomplete }, cancellationToken: cancellationToken))];

    /// <summary>The latest first.</summary>
    public static async Task<IReadOnlyList<BuildInvocation>> InvocationsAsync(
        NpgsqlConnection connection, BuildCacheSettings cache, DateTimeOffset since, int limit, int offset, CancellationToken cancellationToken) =>
        [.. (await connection.QueryAsync<InvocationRow>(new CommandDefinition(
            $"select {InvocationRow.Columns} from build_invocation where cache_id = @Id and last_seen >= @since order by last_seen desc, id, principal_id, sub limit @limit offset @offset",
            new { cache.Id, since, limit, offset }, cancellationToken: cancellationToken))).Select(row => row.Shown(cache))];

    public static async Task<BuildInvocation?> InvocationAsync(NpgsqlConnection connection, BuildCacheSettings cache, string id, CancellationToken cancellationToken) =>
        (await connection.QueryFirstOrDefaultAsync<InvocationRow>(new CommandDefinition(
            $"select {InvocationRow.Columns} from build_invocation where cache_id = @cacheId and id = @id order by last_seen desc limit 1",
            new { cacheId = cache.Id, id }, cancellationToken: cancellationToken)))?.Shown(cache);

    public static async Task<IReadOnlyList<ActionMiss>> MissesAsync(NpgsqlConnection connection, Guid cache, string? invocation, string? sub, byte[]? action, int limit, CancellationToken cancellationToken) =>
        [.. (await connection.QueryAsync<MissShownRow>(new CommandDefinition(
            """
            select action_hash, action_size, reason, missing_blob, mnemonic, target, invocation, at from build_miss
            where cache_id = @cache and (@invocation::text is null or invocation = @invocation) and (@sub::text is null or sub = @sub) and (@action::bytea is null or action_hash = @action)
            order by at desc limit @limit
            """, new { cache, invocation, sub, action, limit }, cancellationToken: cancellationToken))).Select(row => row.Shown)];

    /// <summary>Who wrote an action, in any sub-namespace.</summary>
    public static async Task<IReadOnlyList<ActionProducer>> ProducersAsync(NpgsqlConnection connection, BuildCacheSettings cache, byte[] action, CancellationToken cancellationToken) =>
        [.. (await connection.QueryAsync<ProducerShownRow>(new CommandDefinition(
            $"select {ProducerShownRow.Columns} from build_producer where cache_id = @Id and action_hash = @action order by at desc limit 20",
            new { cache.Id, action }, cancellationToken: cancellationToken))).Select(row => row.Shown(cache))];

    /// <summary>The latest results of the same target and mnemonic.</summary>
    public static async Task<IReadOnlyList<ActionProducer>> AlikeAsync(
        NpgsqlConnection connection, BuildCacheSettings cache, byte[] action, string target, string mnemonic, CancellationToken cancellationToken) =>
        target.Length == 0 ? [] :
        [.. (await connection.QueryAsync<ProducerShownRow>(new CommandDefinition(
            $"""
            select {ProducerShownRow.Columns} from build_producer
            where cache_id = @Id and target = @target and mnemonic = @mnemonic and action_hash <> @action order by at desc limit 5
            """, new { cache.Id, action, target, mnemonic }, cancellationToken: cancellationToken))).Select(row => row.Shown(cache))];

    private class UsageRow
    {
        public string User { get; init; } = "";
        public long Calls { get; init; }
        public long ActionHits { get; init; }
        public long ActionMisses { get; init; }
        public long ActionWrites { get; init; }
        public long BlobReads { get; init; }
        public long BlobMisses { get; init; }
        public long BlobWrites { get; init; }
        public long BytesDown { get; init; }
        public long BytesUp { get; init; }
        public long TookUs { get; init; }
        public long LongestUs { get; init; }
        public long SavedUs { get; init; }

        public BuildUsage Shown => new(
            Calls, ActionHits, ActionMisses, ActionWrites, BlobReads, BlobMisses, BlobWrites, BytesDown, BytesUp, TookUs / 1000.0, LongestUs / 1000.0, SavedUs / 1000.0);
    }

    private sealed class InvocationRow : UsageRow
    {
        public const string Columns =
            """
            id, sub, tool, tool_version, correlated_id, principal_name, credential_id, first_seen, last_seen, calls, action_hits, action_misses, action_writes,
            blob_reads, blob_misses, blob_writes, bytes_down, bytes_up, took_us, longest_us, saved_us
            """;

        public string Id { get; init; } = "";
        public string Sub { get; init; } = "";
        public string Tool { get; init; } = "";
        public string ToolVersion { get; init; } = "";
        public string CorrelatedId { get; init; } = "";
        public string PrincipalName { get; init; } = "";
        public string CredentialId { get; init; } = "";
        public DateTimeOffset FirstSeen { get; init; }
        public DateTimeOffset LastSeen { get; init; }

        public new BuildInvocation Shown(BuildCacheSettings cache) => new(
            Id, NameOf(cache, Sub), OrNull(Tool), OrNull(ToolVersion), OrNull(CorrelatedId), PrincipalName, OrNull(CredentialId), FirstSeen, LastSeen, base.Shown);
    }

    private sealed class MissShownRow
    {
        public byte[] ActionHash { get; init; } = [];
        public long ActionSize { get; init; }
        public short Reason { get; init; }
        public string? MissingBlob { get; init; }
        public string Mnemonic { get; init; } = "";
        public string Target { get; init; } = "";
        public string Invocation { get; init; } = "";
        public DateTimeOffset At { get; init; }

        public ActionMiss Shown => new(
            $"{Convert.ToHexStringLower(ActionHash)}/{ActionSize}",
            (MissReason)Reason switch { MissReason.Incomplete => "incomplete", MissReason.OtherSize => "other_size", MissReason.Unreadable => "unreadable", _ => "absent" },
            MissingBlob, Mnemonic, Target, Invocation, At);
    }

    private sealed class ProducerShownRow
    {
        public const string Columns = "action_hash, action_size, sub, principal_name, tool, invocation, mnemonic, target, cost_us, at";

        public byte[] ActionHash { get; init; } = [];
        public long ActionSize { get; init; }
        public string Sub { get; init; } = "";
        public string PrincipalName { get; init; } = "";
        public string Tool { get; init; } = "";
        public string Invocation { get; init; } = "";
        public string Mnemonic { get; init; } = "";
        public string Target { get; init; } = "";
        public long CostUs { get; init; }
        public DateTimeOffset At { get; init; }

        public ActionProducer Shown(BuildCacheSettings cache) => new(
            $"{Convert.ToHexStringLower(ActionHash)}/{ActionSize}", NameOf(cache, Sub), PrincipalName, OrNull(Tool), Invocation, Mnemonic, Target, CostUs / 1000.0, At);
    }

    public static string NameOf(BuildCacheSettings cache, string sub) => sub.Length == 0 ? cache.FullName : $"{cache.FullName}/{sub}";

    private static string? OrNull(string text) => text.Length == 0 ? null : text;
}
