using Slipway.Api;

namespace Slipway.Tenancy;

internal sealed class KeyRow
{
    public const string Columns = "id, token_id, name, user_id, service_account_id, scopes, created_at, expires_at, last_used_at, revoked_at";

    public Guid Id { get; init; }

    public string TokenId { get; init; } = "";

    public string Name { get; init; } = "";

    public Guid? UserId { get; init; }

    public Guid? ServiceAccountId { get; init; }

    public string[] Scopes { get; init; } = [];

    public DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset ExpiresAt { get; init; }

    public DateTimeOffset? LastUsedAt { get; init; }

    public DateTimeOffset? RevokedAt { get; init; }

    public Key ToKey(string principal, DateTimeOffset now) => new(
        Ids.Key(Id),
        Name,
        $"slp_{(char)(UserId is null ? TokenKind.ServiceKey : TokenKind.UserKey)}_{TokenId}",
        UserId is null ? "service_account" : "user",
        principal,
        Scopes,
        RevokedAt is not null ? "revoked" : ExpiresAt <= now ? "expired" : "active",
        CreatedAt,
        ExpiresAt,
        LastUsedAt,
        RevokedAt);

    public EventTarget ToTarget() => new("key", Ids.Key(Id), Name);
}

/// <summary>Whose keys are meant: one user's or one service account's, and the chain their events go to.</summary>
internal sealed record KeyHolder(Guid? UserId, Guid? ServiceAccountId, string Name, Guid? OrgId)
{
    public TokenKind Kind => UserId is null ? TokenKind.ServiceKey : TokenKind.UserKey;

    /// <summary>SQL for "belongs to this holder", with the parameter <c>@holder</c>.</summary>
    public string Condition => UserId is null ? "service_account_id = @holder" : "user_id = @holder";

    public Guid Id => (UserId ?? ServiceAccountId)!.Value;
}
