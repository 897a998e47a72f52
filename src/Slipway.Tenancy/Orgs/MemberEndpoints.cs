using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>Members and their roles. Only owners make, change or remove owners, and the last one stays; admins manage the rest.</summary>
internal static class MemberEndpoints
{
    /// <summary>Orgs one user may be in: a caller's memberships are kept in memory for each of its credentials.</summary>
    private const int MostOrgsPerUser = 1000;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Members, ListAsync).RequirePermission(TenancyPermissions.ReadOrg).Produces<Page<Member>>();
        endpoints.MapGet(Routes.Member, ShowAsync).RequirePermission(TenancyPermissions.ReadOrg).Produces<Member>();
        endpoints.MapPut(Routes.Member, SetAsync).RequirePermission(TenancyPermissions.ManageMembers).Takes(typeof(SetMemberRequest)).Produces<Member>().Produces<Member>(201);
        endpoints.MapDelete(Routes.Member, RemoveAsync).RequirePermission(TenancyPermissions.ManageMembers).Produces(204);
    }

    private static async Task<IResult> ListAsync(HttpContext http, string org, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<MemberRow>(new CommandDefinition(
            $"""
            select {MemberRow.Columns} from membership m join user_account u on u.id = m.user_id
            where m.org_id = @org and (@After::text is null or u.name > @After) order by u.name limit @limit
            """,
            new { org = http.GetCaller().OrgId(org), page.After, limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.UserName);
        return TypedResults.Json(new Page<Member>([.. cut.Items.Select(row => row.ToMember())], cut.NextPageToken), ApiJson.Default.PageMember);
    }

    private static async Task<IResult> ShowAsync(HttpContext http, string org, string user, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var account = await connection.FindUserAsync(user, null, forUpdate: false, cancellationToken);
        var row = account is null ? null : await FindAsync(connection, null, http.GetCaller().OrgId(org)!.Value, account.Id, cancellationToken);
        return row is null ? throw ApiException.NotFound("member " + user) : Answers.One(http, row.ToMember(), ApiJson.Default.Member, row.ETag);
    }

    private static async Task<IResult> SetAsync(
        HttpContext http, string org, string user, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.SetMemberRequest, cancellationToken);
        var role = Roles.Read(request.Role) ?? OrgRole.Viewer;
        faults.Require(Roles.Read(request.Role) is not null, "/role", "must be owner, admin, member or viewer");
        faults.ThrowIfAny();
        var (member, added) = await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            var row = await OrgRow.FindAsync(change.Connection, change.Transaction, caller, org, forUpdate: true, token);
            var account = await change.Connection.FindUserAsync(user, change.Transaction, forUpdate: false, token) ?? throw ApiException.NotFound("user " + user);
            var before = await FindAsync(change.Connection, change.Transaction, row.Id, account.Id, token);
            ETags.Check(http, before?.ETag ?? "\"none\"");
            if (before?.OrgRole == role)
            {
                return (before, false);
            }

            if (role == OrgRole.Owner || before?.OrgRole == OrgRole.Owner)
            {
                await RequireOwnerAsync(change, row, caller, org, token);
            }

            if (before?.OrgRole == OrgRole.Owner)
            {
                await RequireAnotherOwnerAsync(change, row, account, token);
            }

            if (before is null && await CountOrgsAsync(change, account, token) >= MostOrgsPerUser)
            {
                throw ApiException.Conflict($"{account.Name} is in {MostOrgsPerUser} orgs already, which is the most.");
            }

            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                insert into membership (org_id, user_id, role, since) values (@org, @user, @role, @Now)
                on conflict (org_id, user_id) do update set role = excluded.role, version = membership.version + 1
                """,
                new { org = row.Id, user = account.Id, role = (short)role, change.Now },
                change.Transaction,
                cancellationToken: token));
            var after = (await FindAsync(change.Connection, change.Transaction, row.Id, account.Id, token))!;
            if (before is null)
            {
                change.Record(row.Id, "member.added", after.ToTarget(), new JsonObject { ["role"] = Roles.Name(role) });
            }
            else
            {
                change.Record(row.Id, "member.role_changed", after.ToTarget(), new JsonObject { ["role"] = new JsonArray(Roles.Name(before.OrgRole), Roles.Name(role)) });
            }

            change.AfterCommit(authenticator.Forget);
            return (after, before is null);
        }, cancellationToken);
        return added
            ? Answers.Created(http, member.ToMember(), ApiJson.Default.Member, $"{Routes.Orgs}/{org}/members/{member.UserName}", member.ETag)
            : Answers.One(http, member.ToMember(), ApiJson.Default.Member, member.ETag);
    }

    private static async Task<IResult> RemoveAsync(
        HttpContext http, string org, string user, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            var row = await OrgRow.FindAsync(change.Connection, change.Transaction, caller, org, forUpdate: true, token);
            var account = await change.Connection.FindUserAsync(user, change.Transaction, forUpdate: false, token);
            var member = account is null ? null : await FindAsync(change.Connection, change.Transaction, row.Id, account.Id, token);
            if (account is null || member is null)
            {
                throw ApiException.NotFound("member " + user);
            }

            ETags.Check(http, member.ETag);
            if (member.OrgRole == OrgRole.Owner)
            {
                await RequireOwnerAsync(change, row, caller, org, token);
                await RequireAnotherOwnerAsync(change, row, account, token);
            }

            await change.Connection.ExecuteAsync(new CommandDefinition(
                "delete from membership where org_id = @org and user_id = @user",
                new { org = row.Id, user = account.Id },
                change.Transaction,
                cancellationToken: token));
            change.Record(row.Id, "member.removed", member.ToTarget(), new JsonObject { ["role"] = Roles.Name(member.OrgRole) });
            change.AfterCommit(authenticator.Forget);
            return 0;
        }, cancellationToken);
        return TypedResults.NoContent();
    }

    // Read again under the org's lock: the caller's snapshot may be a second old, and ownership is worth the query.
    private static async Task RequireOwnerAsync(Change change, OrgRow row, Caller caller, string org, CancellationToken cancellationToken)
    {
        var mine = await FindAsync(change.Connection, change.Transaction, row.Id, caller.PrincipalId, cancellationToken);
        if (mine?.OrgRole != OrgRole.Owner)
        {
            throw new ApiException(403, ProblemCodes.Forbidden, $"Only an owner of {org} may make, change or remove owners, and {caller.Name} is {Roles.Name(mine?.OrgRole ?? OrgRole.Viewer)}.");
        }
    }

    private static async Task RequireAnotherOwnerAsync(Change change, OrgRow row, UserRow owner, CancellationToken cancellationToken)
    {
        var others = await change.Connection.ExecuteScalarAsync<long>(new CommandDefinition(
            "select count(*) from membership where org_id = @org and role = 4 and user_id <> @user",
            new { org = row.Id, user = owner.Id },
            change.Transaction,
            cancellationToken: cancellationToken));
        if (others == 0)
        {
            throw ApiException.Conflict($"{owner.Name} is the last owner of {row.Name}.", "Make somebody else an owner first.");
        }
    }

    private static Task<long> CountOrgsAsync(Change change, UserRow user, CancellationToken cancellationToken) =>
        change.Connection.ExecuteScalarAsync<long>(new CommandDefinition(
            "select count(*) from membership where user_id = @Id", new { user.Id }, change.Transaction, cancellationToken: cancellationToken));

    private static Task<MemberRow?> FindAsync(NpgsqlConnection connection, NpgsqlTransaction? transaction, Guid org, Guid user, CancellationToken cancellationToken) =>
        connection.QuerySingleOrDefaultAsync<MemberRow>(new CommandDefinition(
            $"select {MemberRow.Columns} from membership m join user_account u on u.id = m.user_id where m.org_id = @org and m.user_id = @user",
            new { org, user },
            transaction,
            cancellationToken: cancellationToken));
}
