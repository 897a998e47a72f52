using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Stages;

/// <summary>Superusers move orgs between stages; the org's people see theirs.</summary>
internal sealed class StageEndpoints(Database database, BuildCacheDirectory caches, Changes changes, BuildCacheOptions options)
{
    private const string Tag = "Stages";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.BuildStages, (StageEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(http, cancellationToken))
            .RequireSuperuser().WithName("listBuildStages").WithTags(Tag).WithSummary("List all orgs with their stages.").Produces<Page<BuildStage>>();
        endpoints.MapGet(Routes.OrgBuildStage, (string org, StageEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read).WithName("showBuildStage").WithTags(Tag).WithSummary("Show how far an org may go with the build system.").Produces<BuildStage>();
        endpoints.MapPut(Routes.OrgBuildStage, (string org, StageEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.MoveAsync(org, http, cancellationToken))
            .RequireSuperuser().WithName("moveBuildStage").WithTags(Tag).WithSummary("Move an org to a stage.").Takes(typeof(MoveStageRequest)).Produces<BuildStage>();
    }

    private async Task<IResult> ListAsync(HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = (await connection.QueryAsync<StageRow>(new CommandDefinition(
            $"{StageRow.Select} where o.name > @after order by o.name limit @limit", new { after = page.After ?? "", limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        return TypedResults.Ok(PageToken.Cut(http, page, rows.ConvertAll(ShownOf), stage => stage.Org));
    }

    private async Task<IResult> ShowAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await connection.QuerySingleAsync<StageRow>(new CommandDefinition($"{StageRow.Select} where o.name = @org", new { org }, cancellationToken: cancellationToken));
        return Answers.One(http, ShownOf(row), ApiJson.Default.BuildStage, etag: null);
    }

    private async Task<IResult> MoveAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.MoveStageRequest, cancellationToken);
        faults.Require(OrgStages.Read(request.Stage) is not null, "/stage", $"must be one of {string.Join(", ", OrgStages.Names)}");
        faults.ThrowIfAny();
        var moved = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            // The org's row is the lock: without a row of its own yet there is nothing else to lock.
            var orgId = await change.Connection.QuerySingleOrDefaultAsync<Guid?>(new CommandDefinition(
                "select id from org where name = @org for update", new { org }, change.Transaction, cancellationToken: token)) ?? throw ApiException.NotFound($"org {org}");
            var before = await change.Connection.QuerySingleAsync<StageRow>(new CommandDefinition(
                $"{StageRow.Select} where o.id = @orgId", new { orgId }, change.Transaction, cancellationToken: token));
            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                insert into build_stage (org_id, stage, moved_at) values (@orgId, @Stage, @Now)
                on conflict (org_id) do update set stage = excluded.stage, moved_at = excluded.moved_at, version = build_stage.version + 1;
                update build_cache_epoch set epoch = epoch + 1;
                """, new { orgId, request.Stage, change.Now }, change.Transaction, cancellationToken: token));
            var from = before.Stage ?? options.DefaultStage.Name();
            if (from != request.Stage)
            {
                change.Record(orgId, "org.stage_moved", new EventTarget("org", EntityId.Show("org", orgId), org), new JsonObject { ["stage"] = new JsonArray(from, request.Stage) });
            }

            return new BuildStage(org, request.Stage, IsDefault: false, change.Now);
        }, cancellationToken);
        await caches.RefreshAsync(CancellationToken.None);
        return TypedResults.Ok(moved);
    }

    private BuildStage ShownOf(StageRow row) => new(row.Org, row.Stage ?? options.DefaultStage.Name(), row.Stage is null, row.MovedAt);

    private sealed class StageRow
    {
        public const string Select = "select o.name as org, s.stage, s.moved_at from org o left join build_stage s on s.org_id = o.id";

        public string Org { get; init; } = "";
        public string? Stage { get; init; }
        public DateTimeOffset? MovedAt { get; init; }
    }
}
