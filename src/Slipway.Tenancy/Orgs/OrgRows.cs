using Dapper;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

internal sealed class OrgRow
{
    public const string Columns = "id, name, display_name, created_at, version";

    public Guid Id { get; init; }

    public string Name { get; init; } = "";

    public string DisplayName { get; init; } = "";

    public DateTimeOffset CreatedAt { get; init; }

    public long Version { get; init; }

    public string ETag => ETags.Of(Id, Version);

    public Org ToOrg(OrgRole? role) => new(Ids.Org(Id), Name, DisplayName, role is { } known ? Roles.Name(known) : null, CreatedAt);

    public EventTarget ToTarget() => new("org", Ids.Org(Id), Name);

    /// <summary>Under a lock it also serialises whatever changes who owns the org.</summary>
    public static async Task<OrgRow> FindAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, Caller caller, string org, bool forUpdate, CancellationToken cancellationToken) =>
        await connection.QuerySingleAsync<OrgRow>(new CommandDefinition(
            $"select {Columns} from org where id = @id {(forUpdate ? "for update" : "")}",
            new { id = caller.OrgId(org)!.Value },
            transaction,
            cancellationToken: cancellationToken));
}

internal sealed class MemberRow
{
    public const string Columns = "m.user_id, u.name as user_name, m.role, m.since, m.version";

    public Guid UserId { get; init; }

    public string UserName { get; init; } = "";

    public short Role { get; init; }

    public DateTimeOffset Since { get; init; }

    public long Version { get; init; }

    public OrgRole OrgRole => (OrgRole)Role;

    // The start of the membership is in it: who left and came back is another member.
    public string ETag => ETags.Of(UserId, HashCode(Since, Version));

    public Member ToMember() => new(UserName, Ids.User(UserId), Roles.Name(OrgRole), Since);

    public EventTarget ToTarget() => new("user", Ids.User(UserId), UserName);

    private static long HashCode(DateTimeOffset since, long version) => unchecked((since.UtcTicks * 1_000_003) + version);
}
