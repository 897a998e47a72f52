using System.Data;
using System.Security.Cryptography;
using System.Text.Json;
using Dapper;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// Walks a chain from its first event: seqs without a gap, each hash over the one before and the stored body, the columns beside the
/// body saying the same, and the head as the last event leaves it. Reads row by row, in one snapshot.
/// </summary>
internal sealed class ChainVerifier(NpgsqlDataSource database)
{
    public async Task<AuditVerification> VerifyAsync(Guid chain, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancellationToken);
        var head = await connection.QuerySingleOrDefaultAsync<Head>(new CommandDefinition(
            "select head_seq as seq, head_hash as hash from event_chain where id = @chain", new { chain }, transaction, cancellationToken: cancellationToken));

        var hash = EventLog.Genesis;
        var seq = 0L;
        await foreach (var row in connection.QueryUnbufferedAsync<Row>(
            """
            select seq, at, action, actor_type, actor_id, actor_name, via, credential_id, target_type, target_id, target_name, request_id, ip, body, hash
            from event where chain_id = @chain order by seq
            """,
            new { chain },
            transaction).WithCancellation(cancellationToken))
        {
            seq++;
            if (row.Seq != seq)
            {
                return Bad(chain, seq - 1, hash, seq, $"event {seq} is missing");
            }

            if (!CryptographicOperations.FixedTimeEquals(EventBody.Hash(hash, row.Body), row.Hash))
            {
                return Bad(chain, seq - 1, hash, seq, $"the hash of event {seq} does not fit its body and the event before");
            }

            if (Difference(chain, row) is { } column)
            {
                return Bad(chain, seq - 1, hash, seq, $"the column {column} of event {seq} differs from its body");
            }

            hash = row.Hash;
        }

        if ((head?.Seq ?? 0) != seq || !(head?.Hash ?? EventLog.Genesis).AsSpan().SequenceEqual(hash))
        {
            return Bad(chain, seq, hash, seq + 1, $"the chain's head is at {head?.Seq ?? 0} and its last event is {seq}: events at the end are missing or added");
        }

        return new AuditVerification(EventLog.ShowChain(chain), seq, Convert.ToHexStringLower(hash), null, null);
    }

    private static AuditVerification Bad(Guid chain, long good, byte[] head, long seq, string problem) =>
        new(EventLog.ShowChain(chain), good, Convert.ToHexStringLower(head), seq, problem);

    private static string? Difference(Guid chain, Row row)
    {
        using var json = JsonDocument.Parse(row.Body);
        var body = json.RootElement;
        var actor = body.GetProperty("actor");
        var target = body.GetProperty("target");
        (string Column, string? Stored, string? Told)[] pairs =
        [
            ("chain_id", EventLog.ShowChain(chain), Text(body, "chain")),
            ("action", row.Action, Text(body, "action")),
            ("actor_type", row.ActorType, Text(actor, "type")),
            ("actor_id", row.ActorId, Text(actor, "id")),
            ("actor_name", row.ActorName, Text(actor, "name")),
            ("via", row.Via, Text(actor, "via")),
            ("credential_id", row.CredentialId, Text(actor, "credentialId")),
            ("target_type", row.TargetType, Text(target, "type")),
            ("target_id", row.TargetId, Text(target, "id")),
            ("target_name", row.TargetName, Text(target, "name")),
            ("request_id", row.RequestId, Text(body, "requestId")),
            ("ip", row.Ip, Text(body, "ip")),
        ];
        return row.Seq != body.GetProperty("seq").GetInt64() ? "seq"
            : row.At != body.GetProperty("at").GetDateTimeOffset() ? "at"
            : pairs.FirstOrDefault(pair => pair.Stored != pair.Told).Column;
    }

    private static string? Text(JsonElement json, string name) => json.TryGetProperty(name, out var value) ? value.GetString() : null;

    private sealed class Head
    {
        public long Seq { get; init; }

        public byte[] Hash { get; init; } = [];
    }

    private sealed class Row
    {
        public long Seq { get; init; }

        public DateTimeOffset At { get; init; }

        public string Action { get; init; } = "";

        public string ActorType { get; init; } = "";

        public string ActorId { get; init; } = "";

        public string ActorName { get; init; } = "";

        public string Via { get; init; } = "";

        public string? CredentialId { get; init; }

        public string TargetType { get; init; } = "";

        public string TargetId { get; init; } = "";

        public string TargetName { get; init; } = "";

        public string? RequestId { get; init; }

        public string? Ip { get; init; }

        public string Body { get; init; } = "";

        public byte[] Hash { get; init; } = [];
    }
}
