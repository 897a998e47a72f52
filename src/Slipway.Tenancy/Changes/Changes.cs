using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Npgsql;

namespace Slipway.Tenancy;

/// <summary>
/// The one way to change anything: effect, events and the record of the <c>Idempotency-Key</c> commit in one transaction or not at all.
/// </summary>
public sealed class Changes
{
    private readonly NpgsqlDataSource database;
    private readonly IdempotencyRecords idempotency;
    private readonly EventFeed feed;
    private readonly TimeProvider time;

    internal Changes(NpgsqlDataSource database, IdempotencyRecords idempotency, EventFeed feed, TimeProvider time)
    {
        this.database = database;
        this.idempotency = idempotency;
        this.feed = feed;
        this.time = time;
    }

    public async Task<T> CommitAsync<T>(ChangeOrigin origin, Func<Change, CancellationToken, Task<T>> work, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var change = Begin(connection, transaction, origin);
        var result = await work(change, cancellationToken);
        await FinishAsync(change, cancellationToken);
        return result;
    }

    /// <summary>
    /// The same for a request. With an <c>Idempotency-Key</c> the answer is kept, sealed, and given again to a repetition without
    /// running <paramref name="work"/>. The body must have been read with <see cref="RequestBodies.ReadBodyAsync{T}"/>, if there is one.
    /// </summary>
    public Task<T> CommitAsync<T>(HttpContext http, JsonTypeInfo<T> type, Func<Change, CancellationToken, Task<T>> work, CancellationToken cancellationToken) =>
        CommitAsync(http, http.GetCaller().Origin(http), type, work, cancellationToken);

    /// <summary>The same, in the name of somebody else than the caller: signing in is done by nobody yet.</summary>
    internal async Task<T> CommitAsync<T>(
        HttpContext http,
        ChangeOrigin origin,
        JsonTypeInfo<T> type,
        Func<Change, CancellationToken, Task<T>> work,
        CancellationToken cancellationToken)
    {
        if (idempotency.KeyOf(http) is not { } key)
        {
            return await CommitAsync(origin, work, cancellationToken);
        }

        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var change = Begin(connection, transaction, origin);
        if (await idempotency.FindAsync(change, key, type, cancellationToken) is { } kept)
        {
            http.Response.Headers["Idempotency-Replayed"] = "true";
            return kept.Response;
        }

        var result = await work(change, cancellationToken);
        await idempotency.KeepAsync(change, key, type, result, cancellationToken);
        await FinishAsync(change, cancellationToken);
        return result;
    }

    private Change Begin(NpgsqlConnection connection, NpgsqlTransaction transaction, ChangeOrigin origin)
    {
        var now = time.GetUtcNow();
        return new Change(connection, transaction, origin, now.AddTicks(-(now.Ticks % TimeSpan.TicksPerMicrosecond)));
    }

    private async Task FinishAsync(Change change, CancellationToken cancellationToken)
    {
        await EventLog.AppendAsync(change, cancellationToken);
        // From here on a cancelled request must not leave the caller and us with different ideas of what happened.
        await change.Transaction.CommitAsync(CancellationToken.None);
        change.RunAfterCommit();
        foreach (var chain in change.Events.Select(pending => pending.ChainId).Distinct())
        {
            feed.Signal(chain);
        }
    }
}
