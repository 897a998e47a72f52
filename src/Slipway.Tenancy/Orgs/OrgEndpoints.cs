using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.Tenancy;

internal static class OrgEndpoints
{
    /// <summary>Orgs one user may own; a slip in a script must not take every name.</summary>
    private const int MostOwned = 100;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Orgs, ListAsync).RequireSignIn().Produces<Page<Org>>();
        endpoints.MapPost(Routes.Orgs, CreateAsync).RequireSession().Takes(typeof(CreateOrgRequest)).Produces<Org>(201);
        endpoints.MapGet(Routes.Org, ShowAsync).RequirePermission(TenancyPermissions.ReadOrg).Produces<Org>();
        endpoints.MapPatch(Routes.Org, UpdateAsync).RequirePermission(TenancyPermissions.UpdateOrg).Takes(typeof(UpdateOrgRequest)).Produces<Org>();
    }

    /// <summary>The orgs the caller has a role in; with a key, those its scopes let it see.</summary>
    private static async Task<IResult> ListAsync(HttpContext http, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        var caller = http.GetCaller();
        var visible = caller.Orgs.Where(org => caller.Decide(TenancyPermissions.ReadOrg, org.Slug, null).IsAllowed).Select(org => org.Id).ToArray();
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<OrgRow>(new CommandDefinition(
            $"select {OrgRow.Columns} from org where id = any(@visible) and (@After::text is null or name > @After) order by name limit @limit",
            new { visible, page.After, limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.Name);
        return TypedResults.Json(new Page<Org>([.. cut.Items.Select(row => row.ToOrg(caller.RoleIn(row.Name)))], cut.NextPageToken), ApiJson.Default.PageOrg);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateOrgRequest, cancellationToken);
        faults.Require(Names.IsValid(request.Name), "/name", Names.Rule);
        faults.Require(request.DisplayName is null || Names.IsLabel(request.DisplayName), "/displayName", Names.LabelRule);
        faults.ThrowIfAny();
        var org = await changes.CommitAsync(http, ApiJson.Default.Org, async (change, token) =>
        {
            // The lock makes the count below hold: two creations of one user come one after the other.
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "select id from user_account where id = @PrincipalId for update", new { caller.PrincipalId }, change.Transaction, cancellationToken: token));
            var owned = await change.Connection.ExecuteScalarAsync<long>(new CommandDefinition(
                "select count(*) from membership where user_id = @PrincipalId and role = 4", new { caller.PrincipalId }, change.Transaction, cancellationToken: token));
            if (owned >= MostOwned)
            {
                throw ApiException.Conflict($"You own {owned} orgs, and {MostOwned} is the most.");
            }

            var row = await change.Connection.QuerySingleOrDefaultAsync<OrgRow>(new CommandDefinition(
                $"""
                insert into org (id, name, display_name, created_at) values (@id, @Name, @displayName, @Now)
                on conflict (name) do nothing returning {OrgRow.Columns}
                """,
                new { id = Guid.CreateVersion7(change.Now), request.Name, displayName = request.DisplayName ?? request.Name, change.Now },
                change.Transaction,
                cancellationToken: token)) ?? throw ApiException.Conflict($"The name {request.Name} is taken.");
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "insert into membership (org_id, user_id, role, since) values (@Id, @PrincipalId, 4, @Now)",
                new { row.Id, caller.PrincipalId, change.Now },
                change.Transaction,
                cancellationToken: token));
            change.Record(row.Id, "org.created", row.ToTarget());
            change.Record(row.Id, "member.added", new EventTarget("user", Ids.User(caller.PrincipalId), caller.Name), new JsonObject { ["role"] = "owner" });
            change.AfterCommit(authenticator.Forget);
            return row.ToOrg(OrgRole.Owner);
        }, cancellationToken);
        EntityId.TryRead("org", org.Id, out var id);
        return Answers.Created(http, org, ApiJson.Default.Org, $"{Routes.Orgs}/{org.Name}", ETags.Of(id, 1));
    }

    private static async Task<IResult> ShowAsync(HttpContext http, string org, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await OrgRow.FindAsync(connection, null, caller, org, forUpdate: false, cancellationToken);
        return Answers.One(http, row.ToOrg(caller.RoleIn(org)), ApiJson.Default.Org, row.ETag);
    }

    private static async Task<IResult> UpdateAsync(HttpContext http, string org, Changes changes, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.UpdateOrgRequest, cancellationToken);
        faults.Require(request.DisplayName is null || Names.IsLabel(request.DisplayName), "/displayName", Names.LabelRule);
        faults.ThrowIfAny();
        var updated = await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            var row = await OrgRow.FindAsync(change.Connection, change.Transaction, caller, org, forUpdate: true, token);
            ETags.Require(http, row.ETag);
            if (request.DisplayName is null || request.DisplayName == row.DisplayName)
            {
                return row;
            }

            var after = await change.Connection.QuerySingleAsync<OrgRow>(new CommandDefinition(
                $"update org set display_name = @DisplayName, version = version + 1 where id = @Id returning {OrgRow.Columns}",
                new { request.DisplayName, row.Id },
                change.Transaction,
                cancellationToken: token));
            change.Record(row.Id, "org.updated", row.ToTarget(), new JsonObject { ["displayName"] = new JsonArray(row.DisplayName, after.DisplayName) });
            return after;
        }, cancellationToken);
        return Answers.One(http, updated.ToOrg(caller.RoleIn(org)), ApiJson.Default.Org, updated.ETag);
    }
}
