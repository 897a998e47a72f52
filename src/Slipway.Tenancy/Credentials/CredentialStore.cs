using Dapper;
using Npgsql;

namespace Slipway.Tenancy;

/// <summary>A credential as the database has it now, with the caller it stands for.</summary>
internal sealed record StoredCredential(byte[] SecretHash, bool Revoked, bool Disabled, Caller Caller);

/// <summary>Reads sessions and keys by the public id of their token.</summary>
internal sealed class CredentialStore(NpgsqlDataSource database)
{
    public async Task<StoredCredential?> FindAsync(TokenKind kind, string tokenId, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await connection.QuerySingleOrDefaultAsync<Row>(new CommandDefinition(
            kind switch
            {
                TokenKind.Session => SessionSql,
                TokenKind.UserKey => UserKeySql,
                _ => ServiceKeySql,
            },
            new { tokenId },
            cancellationToken: cancellationToken));
        if (row is null)
        {
            return null;
        }

        var orgs = new Dictionary<string, (Guid, OrgRole)>(StringComparer.Ordinal);
        for (var i = 0; i < row.OrgNames.Length; i++)
        {
            orgs[row.OrgNames[i]] = (row.OrgIds[i], (OrgRole)row.OrgRoles[i]);
        }

        // What was stored was checked when the key was issued; a scope that no longer parses grants nothing.
        var scopes = row.Scopes?.Select(text => Scope.TryParse(text, out var scope, out _) ? scope : null).OfType<Scope>().ToArray();
        var caller = new Caller(
            kind == TokenKind.ServiceKey ? "service_account" : "user",
            row.PrincipalId,
            row.Name,
            row.Superuser,
            kind,
            row.Id,
            tokenId,
            row.ExpiresAt,
            orgs,
            scopes,
            null,
            null);
        return new StoredCredential(row.SecretHash, row.Revoked, row.Disabled, caller);
    }

    private const string UserOrgs = """
        array(select o.name from membership m join org o on o.id = m.org_id where m.user_id = u.id order by o.name) as org_names,
        array(select o.id from membership m join org o on o.id = m.org_id where m.user_id = u.id order by o.name) as org_ids,
        array(select m.role::int from membership m join org o on o.id = m.org_id where m.user_id = u.id order by o.name) as org_roles
        """;

    private const string SessionSql = $"""
        select s.id, s.secret_hash, s.revoked_at is not null as revoked, u.status <> 'active' as disabled, s.expires_at,
               u.id as principal_id, u.name, u.superuser, null::text[] as scopes, {UserOrgs}
        from session s join user_account u on u.id = s.user_id
        where s.token_id = @tokenId
        """;

    private const string UserKeySql = $"""
        select k.id, k.secret_hash, k.revoked_at is not null as revoked, u.status <> 'active' as disabled, k.expires_at,
               u.id as principal_id, u.name, u.superuser, k.scopes, {UserOrgs}
        from api_key k join user_account u on u.id = k.user_id
        where k.token_id = @tokenId
        """;

    private const string ServiceKeySql = """
        select k.id, k.secret_hash, k.revoked_at is not null as revoked, false as disabled, k.expires_at,
               a.id as principal_id, a.name, false as superuser, k.scopes,
               array[o.name] as org_names, array[o.id] as org_ids, array[a.role::int] as org_roles
        from api_key k join service_account a on a.id = k.service_account_id join org o on o.id = a.org_id
        where k.token_id = @tokenId
        """;

    private sealed class Row
    {
        public Guid Id { get; init; }

        public byte[] SecretHash { get; init; } = [];

        public bool Revoked { get; init; }

        public bool Disabled { get; init; }

        public DateTimeOffset ExpiresAt { get; init; }

        public Guid PrincipalId { get; init; }

        public string Name { get; init; } = "";

        public bool Superuser { get; init; }

        public string[]? Scopes { get; init; }

        public string[] OrgNames { get; init; } = [];

        public Guid[] OrgIds { get; init; } = [];

        public int[] OrgRoles { get; init; } = [];
    }
}
