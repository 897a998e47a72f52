using Dapper;
using Slipway.Api;

namespace Slipway.Tenancy;

internal sealed class SessionRow
{
    public const string Columns = "id, user_id, created_at, expires_at, last_used_at, revoked_at, client";

    public Guid Id { get; init; }

    public Guid UserId { get; init; }

    public DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset ExpiresAt { get; init; }

    public DateTimeOffset? LastUsedAt { get; init; }

    public DateTimeOffset? RevokedAt { get; init; }

    public string? Client { get; init; }

    public Session ToSession(Guid current) => new(Ids.Session(Id), CreatedAt, ExpiresAt, LastUsedAt, Client, Id == current);
}

internal static class SessionRows
{
    /// <summary>Live sessions of one user; the next sign-in ends the oldest. Nobody looks through a longer list.</summary>
    private const int MostPerUser = 100;

    /// <summary>Adds a session and its event. The token exists only in what this returns.</summary>
    public static async Task<(string Token, SessionRow Row)> AddSessionAsync(
        this Change change, UserRow user, string? client, TimeSpan lifetime, CancellationToken cancellationToken)
    {
        var token = Token.New(TokenKind.Session);
        var row = new SessionRow
        {
            Id = Guid.CreateVersion7(change.Now),
            UserId = user.Id,
            CreatedAt = change.Now,
            ExpiresAt = change.Now + lifetime,
            Client = client,
        };
        await change.Connection.ExecuteAsync(new CommandDefinition(
            """
            insert into session (id, token_id, secret_hash, user_id, created_at, expires_at, client)
            values (@Id, @TokenId, @SecretHash, @UserId, @CreatedAt, @ExpiresAt, @Client);
            update session set revoked_at = @CreatedAt where id in (
                select id from session where user_id = @UserId and revoked_at is null and expires_at > @CreatedAt
                order by id desc offset @MostPerUser);
            """,
            new { row.Id, TokenId = token.Id, token.SecretHash, row.UserId, row.CreatedAt, row.ExpiresAt, row.Client, MostPerUser },
            change.Transaction,
            cancellationToken: cancellationToken));
        change.Record(null, "session.created", row.ToTarget(user.Name));
        return (token.Text, row);
    }

    public static EventTarget ToTarget(this SessionRow row, string userName) => new("session", Ids.Session(row.Id), userName);

    /// <summary>Ends every live session of a user but <paramref name="except"/>, with one event each.</summary>
    public static async Task EndSessionsAsync(this Change change, UserRow user, Guid? except, CancellationToken cancellationToken)
    {
        var ended = await change.Connection.QueryAsync<SessionRow>(new CommandDefinition(
            $"""
            update session set revoked_at = @Now
            where user_id = @Id and revoked_at is null and expires_at > @Now and (@except::uuid is null or id <> @except)
            returning {SessionRow.Columns}
            """,
            new { change.Now, user.Id, except },
            change.Transaction,
            cancellationToken: cancellationToken));
        foreach (var session in ended)
        {
            change.Record(null, "session.revoked", session.ToTarget(user.Name));
        }
    }
}
