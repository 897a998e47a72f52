using System.Security.Cryptography;
using Dapper;
using Npgsql;
using NpgsqlTypes;

namespace Slipway.Tenancy;

/// <summary>Appends to the event log, which is the audit log: one hash chain per org, and one for the server.</summary>
internal static class EventLog
{
    /// <summary>The chain of what belongs to no org: users, their sessions and keys, stores.</summary>
    public static readonly Guid ServerChain = Guid.Empty;

    /// <summary>What the first event of a chain is chained to.</summary>
    public static byte[] Genesis => new byte[SHA256.HashSizeInBytes];

    public static string ShowChain(Guid chainId) => chainId == ServerChain ? "server" : Ids.Org(chainId);

    /// <summary>Writes what <paramref name="change"/> recorded, all events of a chain under one lock.</summary>
    public static async Task AppendAsync(Change change, CancellationToken cancellationToken)
    {
        // Chains are locked in one order, so that two changes that touch the same two can't wait for each other.
        foreach (var chain in change.Events.GroupBy(pending => pending.ChainId).OrderBy(group => group.Key))
        {
            await AppendAsync(change, chain.Key, [.. chain], cancellationToken);
        }
    }

    private static async Task AppendAsync(Change change, Guid chainId, PendingEvent[] pending, CancellationToken cancellationToken)
    {
        var connection = change.Connection;
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into event_chain (id, head_seq, head_hash) values (@chainId, 0, @Genesis) on conflict do nothing",
            new { chainId, Genesis },
            change.Transaction,
            cancellationToken: cancellationToken));
        var head = await connection.QuerySingleAsync<Head>(new CommandDefinition(
            "select head_seq as seq, head_hash as hash from event_chain where id = @chainId for update",
            new { chainId },
            change.Transaction,
            cancellationToken: cancellationToken));

        var seq = head.Seq;
        var hash = head.Hash;
        await using (var batch = new NpgsqlBatch(connection, change.Transaction))
        {
            foreach (var one in pending)
            {
                seq++;
                var body = EventBody.Write(chainId, seq, change.Now, one);
                hash = EventBody.Hash(hash, body);
                batch.BatchCommands.Add(Insert(chainId, seq, change.Now, one, body, hash));
            }

            batch.BatchCommands.Add(new NpgsqlBatchCommand("update event_chain set head_seq = $2, head_hash = $3 where id = $1")
            {
                Parameters =
                {
                    new NpgsqlParameter { Value = chainId },
                    new NpgsqlParameter { Value = seq },
                    new NpgsqlParameter { Value = hash },
                },
            });
            await batch.ExecuteNonQueryAsync(cancellationToken);
        }
    }

    private static NpgsqlBatchCommand Insert(Guid chainId, long seq, DateTimeOffset at, PendingEvent one, string body, byte[] hash)
    {
        var command = new NpgsqlBatchCommand("""
            insert into event (chain_id, seq, at, action, actor_type, actor_id, actor_name, via, credential_id,
                               target_type, target_id, target_name, request_id, ip, body, hash)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
            """);
        command.Parameters.Add(new NpgsqlParameter { Value = chainId });
        command.Parameters.Add(new NpgsqlParameter { Value = seq });
        command.Parameters.Add(new NpgsqlParameter { Value = at.UtcDateTime });
        var origin = one.Origin;
        foreach (var text in (ReadOnlySpan<string?>)
        [
            one.Action, origin.ActorType, Ids.Actor(origin.ActorType, origin.ActorId), origin.ActorName, origin.Via, origin.CredentialId,
            one.Target.Type, one.Target.Id, one.Target.Name, origin.RequestId, origin.Ip, body,
        ])
        {
            command.Parameters.Add(new NpgsqlParameter { Value = (object?)text ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        }

        command.Parameters.Add(new NpgsqlParameter { Value = hash });
        return command;
    }

    private sealed class Head
    {
        public long Seq { get; init; }

        public byte[] Hash { get; init; } = [];
    }
}
