using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.Tenancy;

internal sealed class ServiceAccountRow
{
    public const string Columns = "id, org_id, name, role, created_at, version";

    public Guid Id { get; init; }

    public Guid OrgId { get; init; }

    public string Name { get; init; } = "";

    public short Role { get; init; }

    public DateTimeOffset CreatedAt { get; init; }

    public long Version { get; init; }

    public string ETag => ETags.Of(Id, Version);

    public ServiceAccount ToServiceAccount(string org) => new(Ids.ServiceAccount(Id), org, Name, Roles.Name((OrgRole)Role), CreatedAt);

    public EventTarget ToTarget() => new("service_account", Ids.ServiceAccount(Id), Name);

    /// <summary>By name or shown id; throws 404.</summary>
    public static async Task<ServiceAccountRow> FindAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, Guid org, string nameOrId, CancellationToken cancellationToken)
    {
        var byId = EntityId.TryRead("sa", nameOrId, out var id);
        var row = byId || Names.IsValid(nameOrId)
            ? await connection.QuerySingleOrDefaultAsync<ServiceAccountRow>(new CommandDefinition(
                $"select {Columns} from service_account where org_id = @org and {(byId ? "id = @id" : "name = @nameOrId")} {(transaction is null ? "" : "for update")}",
                new { org, id, nameOrId },
                transaction,
                cancellationToken: cancellationToken))
            : null;
        return row ?? throw ApiException.NotFound("service account " + nameOrId);
    }
}

/// <summary>Machine principals of an org.</summary>
internal static class ServiceAccountEndpoints
{
    /// <summary>One per machine of a large fleet of CI runners.</summary>
    private const int MostPerOrg = 1000;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.ServiceAccounts, ListAsync).RequirePermission(TenancyPermissions.ReadOrg).Produces<Page<ServiceAccount>>();
        endpoints.MapPost(Routes.ServiceAccounts, CreateAsync).RequirePermission(TenancyPermissions.ManageServiceAccounts)
            .Takes(typeof(CreateServiceAccountRequest)).Produces<ServiceAccount>(201);
        endpoints.MapGet(Routes.ServiceAccount, ShowAsync).RequirePermission(TenancyPermissions.ReadOrg).Produces<ServiceAccount>();
        endpoints.MapDelete(Routes.ServiceAccount, RemoveAsync).RequirePermission(TenancyPermissions.ManageServiceAccounts).Produces(204);
    }

    private static async Task<IResult> ListAsync(HttpContext http, string org, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<ServiceAccountRow>(new CommandDefinition(
            $"select {ServiceAccountRow.Columns} from service_account where org_id = @org and (@After::text is null or name > @After) order by name limit @limit",
            new { org = http.GetCaller().OrgId(org), page.After, limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.Name);
        return TypedResults.Json(new Page<ServiceAccount>([.. cut.Items.Select(row => row.ToServiceAccount(org))], cut.NextPageToken), ApiJson.Default.PageServiceAccount);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, string org, Changes changes, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateServiceAccountRequest, cancellationToken);
        var role = Roles.Read(request.Role);
        faults.Require(Names.IsValid(request.Name), "/name", Names.Rule);
        faults.Require(role is OrgRole.Viewer or OrgRole.Member or OrgRole.Admin, "/role", "must be admin, member or viewer: an org is owned by people");
        faults.ThrowIfAny();
        var account = await changes.CommitAsync(http, ApiJson.Default.ServiceAccount, async (change, token) =>
        {
            var row = await OrgRow.FindAsync(change.Connection, change.Transaction, caller, org, forUpdate: true, token);
            var count = await change.Connection.ExecuteScalarAsync<long>(new CommandDefinition(
                "select count(*) from service_account where org_id = @Id", new { row.Id }, change.Transaction, cancellationToken: token));
            if (count >= MostPerOrg)
            {
                throw ApiException.Conflict($"{org} has {count} service accounts, and {MostPerOrg} is the most.");
            }

            var added = await change.Connection.QuerySingleOrDefaultAsync<ServiceAccountRow>(new CommandDefinition(
                $"""
                insert into service_account (id, org_id, name, role, created_at) values (@id, @org, @Name, @role, @Now)
                on conflict (org_id, name) do nothing returning {ServiceAccountRow.Columns}
                """,
                new { id = Guid.CreateVersion7(change.Now), org = row.Id, request.Name, role = (short)role!.Value, change.Now },
                change.Transaction,
                cancellationToken: token)) ?? throw ApiException.Conflict($"{org} has a service account {request.Name} already.");
            change.Record(row.Id, "service_account.created", added.ToTarget(), new JsonObject { ["role"] = request.Role });
            return added.ToServiceAccount(org);
        }, cancellationToken);
        EntityId.TryRead("sa", account.Id, out var id);
        return Answers.Created(http, account, ApiJson.Default.ServiceAccount, $"{Routes.Orgs}/{org}/service-accounts/{account.Name}", ETags.Of(id, 1));
    }

    private static async Task<IResult> ShowAsync(HttpContext http, string org, string account, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await ServiceAccountRow.FindAsync(connection, null, http.GetCaller().OrgId(org)!.Value, account, cancellationToken);
        return Answers.One(http, row.ToServiceAccount(org), ApiJson.Default.ServiceAccount, row.ETag);
    }

    private static async Task<IResult> RemoveAsync(
        HttpContext http, string org, string account, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var orgId = caller.OrgId(org)!.Value;
        await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            var row = await ServiceAccountRow.FindAsync(change.Connection, change.Transaction, orgId, account, token);
            ETags.Check(http, row.ETag);
            // Its keys go with it, by the foreign key.
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "delete from service_account where id = @Id", new { row.Id }, change.Transaction, cancellationToken: token));
            change.Record(orgId, "service_account.removed", row.ToTarget());
            change.AfterCommit(authenticator.Forget);
            return 0;
        }, cancellationToken);
        return TypedResults.NoContent();
    }
}
