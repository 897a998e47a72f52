using Dapper;
using Npgsql;
using Slipway.BuildCache.Usage;

namespace Slipway.BuildCache.Insight;

/// <summary>The tables of insight and usage: written in batches, swept by age.</summary>
internal static class InsightRows
{
    /// <summary>Thirteen months: a bill can be compared with that of the same month last year.</summary>
    private static readonly TimeSpan UsageLifetime = TimeSpan.FromDays(400);

    /// <summary>Rows deleted in one statement, so that none holds locks for long.</summary>
    private const int SweepRows = 10_000;

    private const string CounterColumns =
        "calls, action_hits, action_misses, action_writes, blob_reads, blob_misses, blob_writes, bytes_down, bytes_up, took_us, longest_us, saved_us";

    private const string CounterParameters =
        "@calls, @actionHits, @actionMisses, @actionWrites, @blobReads, @blobMisses, @blobWrites, @bytesDown, @bytesUp, @tookUs, @longestUs, @savedUs";

    public static async Task WriteAsync(NpgsqlConnection connection, InsightBatch batch, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await WriteUsageAsync(connection, transaction, batch, cancellationToken);
        await WriteInvocationsAsync(connection, transaction, batch, cancellationToken);
        await WriteMissesAsync(connection, transaction, batch, cancellationToken);
        await WriteProducersAsync(connection, transaction, batch, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    public static async Task SweepAsync(NpgsqlConnection connection, DateTimeOffset now, TimeSpan lifetime, CancellationToken cancellationToken)
    {
        foreach (var (table, column, before) in ((string, string, DateTimeOffset)[])
            [("build_miss", "at", now - lifetime), ("build_producer", "at", now - lifetime), ("build_invocation", "last_seen", now - lifetime), ("build_usage", "hour", now - UsageLifetime)])
        {
            while (await connection.ExecuteAsync(new CommandDefinition(
                $"delete from {table} where ctid = any(array(select ctid from {table} where {column} < @before limit {SweepRows}))",
                new { before }, cancellationToken: cancellationToken)) == SweepRows)
            {
            }
        }
    }

    private static Task WriteUsageAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, InsightBatch batch, CancellationToken cancellationToken)
    {
        // In the order of the key, so that two servers that add to the same rows can't wait for each other.
        var rows = batch.Usage.OrderBy(row => row.Key.CacheId).ThenBy(row => row.Key.Hour).ThenBy(row => row.Key.PrincipalId, StringComparer.Ordinal).ToList();
        var parameters = Counters(rows.ConvertAll(row => row.Value.Counters));
        parameters.Add("caches", rows.ConvertAll(row => row.Key.CacheId).ToArray());
        parameters.Add("hours", rows.ConvertAll(row => row.Key.Hour.UtcDateTime).ToArray());
        parameters.Add("orgs", rows.ConvertAll(row => row.Value.OrgId).ToArray());
        parameters.Add("cacheNames", rows.ConvertAll(row => row.Value.CacheName).ToArray());
        parameters.Add("principals", rows.ConvertAll(row => row.Key.PrincipalId).ToArray());
        parameters.Add("principalNames", rows.ConvertAll(row => row.Value.PrincipalName).ToArray());
        return connection.ExecuteAsync(new CommandDefinition(
            $"""
            insert into build_usage as t (cache_id, hour, org_id, cache_name, principal_id, principal_name, {CounterColumns})
            select * from unnest(@caches, @hours, @orgs, @cacheNames, @principals, @principalNames, {CounterParameters})
            on conflict (cache_id, hour, principal_id) do update set {Adding}
            """, parameters, transaction, cancellationToken: cancellationToken));
    }

    private static Task WriteInvocationsAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, InsightBatch batch, CancellationToken cancellationToken)
    {
        var rows = batch.Invocations.OrderBy(row => row.Key.CacheId).ThenBy(row => row.Key.Id, StringComparer.Ordinal)
            .ThenBy(row => row.Key.PrincipalId, StringComparer.Ordinal).ThenBy(row => row.Key.Sub, StringComparer.Ordinal).ToList();
        var parameters = Counters(rows.ConvertAll(row => row.Value.Counters));
        parameters.Add("caches", rows.ConvertAll(row => row.Key.CacheId).ToArray());
        parameters.Add("subs", rows.ConvertAll(row => row.Key.Sub).ToArray());
        parameters.Add("ids", rows.ConvertAll(row => row.Key.Id).ToArray());
        parameters.Add("principals", rows.ConvertAll(row => row.Key.PrincipalId).ToArray());
        parameters.Add("principalNames", rows.ConvertAll(row => row.Value.PrincipalName).ToArray());
        parameters.Add("credentials", rows.ConvertAll(row => row.Value.CredentialId).ToArray());
        parameters.Add("tools", rows.ConvertAll(row => InsightBatch.Clean(row.Value.Metadata.ToolName)).ToArray());
        parameters.Add("versions", rows.ConvertAll(row => InsightBatch.Clean(row.Value.Metadata.ToolVersion)).ToArray());
        parameters.Add("correlated", rows.ConvertAll(row => InsightBatch.Clean(row.Value.Metadata.CorrelatedInvocationsId)).ToArray());
        parameters.Add("firsts", rows.ConvertAll(row => row.Value.FirstSeen.UtcDateTime).ToArray());
        parameters.Add("lasts", rows.ConvertAll(row => row.Value.LastSeen.UtcDateTime).ToArray());
        // Of a cache that was deleted meanwhile nothing is kept.
        return connection.ExecuteAsync(new CommandDefinition(
            $"""
            insert into build_invocation as t (cache_id, sub, id, principal_id, principal_name, credential_id, tool, tool_version, correlated_id, first_seen, last_seen, {CounterColumns})
            select r.* from unnest(@caches, @subs, @ids, @principals, @principalNames, @credentials, @tools, @versions, @correlated, @firsts, @lasts, {CounterParameters})
                as r (cache_id, sub, id, principal_id, principal_name, credential_id, tool, tool_version, correlated_id, first_seen, last_seen, {CounterColumns})
            where exists (select 1 from build_cache c where c.id = r.cache_id)
            on conflict (cache_id, id, principal_id, sub) do update set last_seen = greatest(t.last_seen, excluded.last_seen), {Adding}
            """, parameters, transaction, cancellationToken: cancellationToken));
    }

    private static Task WriteMissesAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, InsightBatch batch, CancellationToken cancellationToken)
    {
        var rows = batch.Misses;
        return rows.Count == 0 ? Task.CompletedTask : connection.ExecuteAsync(new CommandDefinition(
            """
            insert into build_miss (cache_id, sub, invocation, principal_id, action_hash, action_size, reason, missing_blob, mnemonic, target, at)
            select r.* from unnest(@caches, @subs, @invocations, @principals, @hashes, @sizes, @reasons, @missing, @mnemonics, @targets, @times)
                as r (cache_id, sub, invocation, principal_id, action_hash, action_size, reason, missing_blob, mnemonic, target, at)
            where exists (select 1 from build_cache c where c.id = r.cache_id)
            """,
            new
            {
                caches = rows.ConvertAll(row => row.Invocation.CacheId).ToArray(),
                subs = rows.ConvertAll(row => row.Invocation.Sub).ToArray(),
                invocations = rows.ConvertAll(row => row.Invocation.Id).ToArray(),
                principals = rows.ConvertAll(row => row.Invocation.PrincipalId).ToArray(),
                hashes = rows.ConvertAll(row => row.Action.Key.Hash.ToArray()).ToArray(),
                sizes = rows.ConvertAll(row => row.Action.Size).ToArray(),
                reasons = rows.ConvertAll(row => (short)row.Reason).ToArray(),
                missing = rows.ConvertAll(row => row.Missing == default ? null : row.Missing.ToString()).ToArray(),
                mnemonics = rows.ConvertAll(row => row.Mnemonic).ToArray(),
                targets = rows.ConvertAll(row => row.Target).ToArray(),
                times = rows.ConvertAll(row => row.At.UtcDateTime).ToArray(),
            }, transaction, cancellationToken: cancellationToken));
    }

    private static Task WriteProducersAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, InsightBatch batch, CancellationToken cancellationToken)
    {
        var rows = batch.Producers.OrderBy(row => row.Key.CacheId).ThenBy(row => row.Key.Action).ThenBy(row => row.Key.Sub, StringComparer.Ordinal).Select(row => row.Value).ToList();
        return rows.Count == 0 ? Task.CompletedTask : connection.ExecuteAsync(new CommandDefinition(
            """
            insert into build_producer as t (cache_id, sub, action_hash, action_size, invocation, principal_id, principal_name, tool, mnemonic, target, cost_us, at)
            select r.* from unnest(@caches, @subs, @hashes, @sizes, @invocations, @principals, @principalNames, @tools, @mnemonics, @targets, @costs, @times)
                as r (cache_id, sub, action_hash, action_size, invocation, principal_id, principal_name, tool, mnemonic, target, cost_us, at)
            where exists (select 1 from build_cache c where c.id = r.cache_id)
            on conflict (cache_id, action_hash, sub) do update set
                action_size = excluded.action_size, invocation = excluded.invocation, principal_id = excluded.principal_id, principal_name = excluded.principal_name,
                tool = excluded.tool, mnemonic = excluded.mnemonic, target = excluded.target, cost_us = excluded.cost_us, at = excluded.at
            where t.at <= excluded.at
            """,
            new
            {
                caches = rows.ConvertAll(row => row.Invocation.CacheId).ToArray(),
                subs = rows.ConvertAll(row => row.Invocation.Sub).ToArray(),
                hashes = rows.ConvertAll(row => row.Action.Key.Hash.ToArray()).ToArray(),
                sizes = rows.ConvertAll(row => row.Action.Size).ToArray(),
                invocations = rows.ConvertAll(row => row.Invocation.Id).ToArray(),
                principals = rows.ConvertAll(row => row.Invocation.PrincipalId).ToArray(),
                principalNames = rows.ConvertAll(row => row.PrincipalName).ToArray(),
                tools = rows.ConvertAll(row => row.Tool).ToArray(),
                mnemonics = rows.ConvertAll(row => row.Mnemonic).ToArray(),
                targets = rows.ConvertAll(row => row.Target).ToArray(),
                costs = rows.ConvertAll(row => (long)row.Cost.TotalMicroseconds).ToArray(),
                times = rows.ConvertAll(row => row.At.UtcDateTime).ToArray(),
            }, transaction, cancellationToken: cancellationToken));
    }

    private static readonly string Adding = string.Join(", ", CounterColumns.Split(", ").Select(column =>
        column == "longest_us" ? "longest_us = greatest(t.longest_us, excluded.longest_us)" : $"{column} = t.{column} + excluded.{column}"));

    private static DynamicParameters Counters(List<UsageCounters> rows)
    {
        var parameters = new DynamicParameters();
        parameters.Add("calls", rows.ConvertAll(row => row.Calls).ToArray());
        parameters.Add("actionHits", rows.ConvertAll(row => row.ActionHits).ToArray());
        parameters.Add("actionMisses", rows.ConvertAll(row => row.ActionMisses).ToArray());
        parameters.Add("actionWrites", rows.ConvertAll(row => row.ActionWrites).ToArray());
        parameters.Add("blobReads", rows.ConvertAll(row => row.BlobReads).ToArray());
        parameters.Add("blobMisses", rows.ConvertAll(row => row.BlobMisses).ToArray());
        parameters.Add("blobWrites", rows.ConvertAll(row => row.BlobWrites).ToArray());
        parameters.Add("bytesDown", rows.ConvertAll(row => row.BytesDown).ToArray());
        parameters.Add("bytesUp", rows.ConvertAll(row => row.BytesUp).ToArray());
        parameters.Add("tookUs", rows.ConvertAll(row => row.TookMicroseconds).ToArray());
        parameters.Add("longestUs", rows.ConvertAll(row => row.LongestMicroseconds).ToArray());
        parameters.Add("savedUs", rows.ConvertAll(row => row.SavedMicroseconds).ToArray());
        return parameters;
    }
}
