using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.BuildCache.Stages;
using Slipway.Data;
using Slipway.Tenancy;
using Shown = Slipway.Api.BuildCache;

namespace Slipway.BuildCache.Namespaces;

/// <summary>Create, list, show, change and delete build caches. At every stage: a cache has to be made before it can be used.</summary>
internal sealed class BuildCacheEndpoints(Database database, BuildCacheDirectory caches, CacheSpaces spaces, Changes changes, BuildCacheOptions options, TimeProvider time)
{
    private const string Tag = "Build caches";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.BuildCaches, (string org, BuildCacheEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(org, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read).WithName("listBuildCaches").WithTags(Tag).WithSummary("List an org's build caches.").Produces<Page<Shown>>();
        endpoints.MapPost(Routes.BuildCaches, (string org, BuildCacheEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.CreateAsync(org, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Manage).WithName("createBuildCache").WithTags(Tag).WithSummary("Create a build cache.").Takes(typeof(CreateBuildCacheRequest)).Produces<Shown>(StatusCodes.Status201Created);
        endpoints.MapGet(Routes.BuildCache, (string org, string cache, BuildCacheEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, cache, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("showBuildCache").WithTags(Tag).WithSummary("Show a build cache, its settings and what it holds.").Produces<Shown>();
        endpoints.MapPatch(Routes.BuildCache, (string org, string cache, BuildCacheEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.UpdateAsync(org, cache, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Manage, "cache").WithName("updateBuildCache").WithTags(Tag).WithSummary("Change a build cache's settings.").Takes(typeof(UpdateBuildCacheRequest)).Produces<Shown>();
        endpoints.MapDelete(Routes.BuildCache, (string org, string cache, BuildCacheEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.DeleteAsync(org, cache, http, cancellationToken))
            .RequirePermission(BuildCachePermissions.Manage, "cache").WithName("deleteBuildCache").WithTags(Tag).WithSummary("Delete a build cache and all it holds.").Produces(StatusCodes.Status204NoContent);
    }

    private async Task<IResult> ListAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = (await connection.QueryAsync<BuildCacheRow>(new CommandDefinition(
            $"{BuildCacheRow.Select} where c.org_id = @orgId and c.name > @after order by c.name limit @limit",
            new { orgId = http.GetCaller().OrgId(org), after = page.After ?? "", limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        return TypedResults.Ok(PageToken.Cut(http, page, rows.ConvertAll(ShownOf), cache => cache.Name));
    }

    private async Task<IResult> CreateAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateBuildCacheRequest, cancellationToken);
        var orgId = http.GetCaller().OrgId(org)!.Value;
        CacheRules.CheckName(faults, org, request.Name);
        CacheRules.CheckSettings(
            faults, org, caches.StageOf(orgId), options, request.QuotaBytes, request.RetentionDays, request.MaxBlobBytes, request.AnonymousRead, request.AssetHosts);
        Shown created;
        try
        {
            created = await changes.CommitAsync(http, ApiJson.Default.BuildCache, (change, token) => InsertAsync(change, orgId, org, request, token), cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw ApiException.Conflict($"{org} has a build cache named {request.Name} already.");
        }

        await caches.RefreshAsync(CancellationToken.None);
        return TypedResults.Created($"/v1/orgs/{org}/build-caches/{request.Name}", created);
    }

    private async Task<Shown> InsertAsync(Change change, Guid orgId, string org, CreateBuildCacheRequest request, CancellationToken cancellationToken)
    {
        // The lock makes the count hold: two creations in one org come one after the other.
        await change.Connection.ExecuteAsync(new CommandDefinition("select 1 from org where id = @orgId for update", new { orgId }, change.Transaction, cancellationToken: cancellationToken));
        var count = await change.Connection.ExecuteScalarAsync<long>(new CommandDefinition(
            "select count(*) from build_cache where org_id = @orgId", new { orgId }, change.Transaction, cancellationToken: cancellationToken));
        if (count >= options.MaxCaches)
        {
            throw ApiException.Conflict($"{org} has {count} build caches, and {options.MaxCaches} is the most.", "Delete one, or use sub-namespaces of one: ORG/CACHE/BRANCH needs no set-up.");
        }

        var id = EntityId.New(time);
        await change.Connection.ExecuteAsync(new CommandDefinition(
            """
            insert into build_cache (id, org_id, name, quota_bytes, retention_days, max_blob_bytes, validate_actions, anonymous_read, asset_hosts, created_at)
            values (@id, @orgId, @Name, nullif(@quota, 0), nullif(@RetentionDays, 0), @maxBlob, @validate, @AnonymousRead, @hosts, @Now);
            update build_cache_epoch set epoch = epoch + 1;
            """,
            new
            {
                id, orgId, request.Name,
                quota = request.QuotaBytes ?? options.DefaultQuotaBytes,
                request.RetentionDays,
                maxBlob = request.MaxBlobBytes ?? options.MaxBlobBytes,
                validate = request.ValidateActions ?? true,
                request.AnonymousRead,
                hosts = request.AssetHosts?.Distinct(StringComparer.Ordinal).ToArray() ?? [],
                change.Now,
            },
            change.Transaction, cancellationToken: cancellationToken));
        var row = await change.Connection.QuerySingleAsync<BuildCacheRow>(new CommandDefinition(
            $"{BuildCacheRow.Select} where c.id = @id", new { id }, change.Transaction, cancellationToken: cancellationToken));
        change.Record(orgId, "build_cache.created", row.Target, new JsonObject { ["quotaBytes"] = row.QuotaBytes, ["anonymousRead"] = row.AnonymousRead });
        return ShownOf(row);
    }

    private async Task<IResult> ShowAsync(string org, string cache, HttpContext http, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await FindAsync(connection, null, org, cache, http, forUpdate: false, cancellationToken);
        return ETags.IsUnchanged(http, row.ETag) ? TypedResults.StatusCode(StatusCodes.Status304NotModified) : TypedResults.Ok(ShownOf(row));
    }

    private async Task<IResult> UpdateAsync(string org, string cache, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.UpdateBuildCacheRequest, cancellationToken);
        CacheRules.CheckSettings(
            faults, org, caches.StageOf(http.GetCaller().OrgId(org)!.Value), options,
            request.QuotaBytes, request.RetentionDays, request.MaxBlobBytes, request.AnonymousRead == true, request.AssetHosts);
        var updated = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, org, cache, http, forUpdate: true, token);
            ETags.Require(http, row.ETag);
            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                update build_cache set
                    quota_bytes = case when @QuotaBytes::bigint is null then quota_bytes else nullif(@QuotaBytes, 0) end,
                    retention_days = case when @RetentionDays::integer is null then retention_days else nullif(@RetentionDays, 0) end,
                    max_blob_bytes = coalesce(@MaxBlobBytes, max_blob_bytes),
                    validate_actions = coalesce(@ValidateActions, validate_actions),
                    anonymous_read = coalesce(@AnonymousRead, anonymous_read),
                    asset_hosts = coalesce(@hosts, asset_hosts),
                    version = version + 1
                where id = @Id;
                update build_cache_epoch set epoch = epoch + 1;
                """,
                new
                {
                    row.Id, request.QuotaBytes, request.RetentionDays, request.MaxBlobBytes, request.ValidateActions, request.AnonymousRead,
                    hosts = request.AssetHosts?.Distinct(StringComparer.Ordinal).ToArray(),
                },
                change.Transaction, cancellationToken: token));
            var after = await change.Connection.QuerySingleAsync<BuildCacheRow>(new CommandDefinition(
                $"{BuildCacheRow.Select} where c.id = @Id", new { row.Id }, change.Transaction, cancellationToken: token));
            change.Record(row.OrgId, "build_cache.updated", row.Target, Differences(row, after));
            return after;
        }, cancellationToken);
        await caches.RefreshAsync(CancellationToken.None);
        http.Response.Headers.ETag = updated.ETag;
        return TypedResults.Ok(ShownOf(updated));
    }

    private async Task<IResult> DeleteAsync(string org, string cache, HttpContext http, CancellationToken cancellationToken)
    {
        var deleted = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, org, cache, http, forUpdate: true, token);
            ETags.Check(http, row.ETag);
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "delete from build_cache where id = @Id; update build_cache_epoch set epoch = epoch + 1;", new { row.Id }, change.Transaction, cancellationToken: token));
            var usage = spaces.UsageOf(row.Id);
            change.Record(row.OrgId, "build_cache.deleted", row.Target, new JsonObject { ["blobs"] = usage.Blobs, ["storedBytes"] = usage.StoredBytes });
            return row;
        }, cancellationToken);
        // Nobody finds it any more; then its segments go.
        await caches.RefreshAsync(CancellationToken.None);
        await caches.EndRevokedAsync(CancellationToken.None);
        await spaces.DropAsync(deleted.Id, CancellationToken.None);
        return TypedResults.NoContent();
    }

    internal static async Task<BuildCacheRow> FindAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, string org, string cache, HttpContext http, bool forUpdate, CancellationToken cancellationToken) =>
        await connection.QuerySingleOrDefaultAsync<BuildCacheRow>(new CommandDefinition(
            $"{BuildCacheRow.Select} where c.org_id = @orgId and c.name = @cache {(forUpdate ? "for update of c" : "")}",
            new { orgId = http.GetCaller().OrgId(org), cache }, transaction, cancellationToken: cancellationToken))
            ?? throw ApiException.NotFound($"build cache {org}/{cache}");

    private static JsonObject Differences(BuildCacheRow before, BuildCacheRow after)
    {
        var differences = new JsonObject();
        Add("quotaBytes", before.QuotaBytes, after.QuotaBytes);
        Add("retentionDays", before.RetentionDays, after.RetentionDays);
        Add("maxBlobBytes", before.MaxBlobBytes, after.MaxBlobBytes);
        Add("validateActions", before.ValidateActions, after.ValidateActions);
        Add("anonymousRead", before.AnonymousRead, after.AnonymousRead);
        Add("assetHosts", string.Join(' ', before.AssetHosts), string.Join(' ', after.AssetHosts));
        return differences;

        void Add<T>(string field, T from, T to)
        {
            if (!Equals(from, to))
            {
                differences[field] = new JsonArray(JsonValue.Create(from), JsonValue.Create(to));
            }
        }
    }

    private Shown ShownOf(BuildCacheRow row)
    {
        var usage = spaces.UsageOf(row.Id);
        return new Shown(
            row.ShownId, row.Org, row.Name, row.FullName, options.GrpcUrl?.ToString().TrimEnd('/'), $"{options.PublicUrl.ToString().TrimEnd('/')}{BuildCacheOptions.HttpPrefix}/{row.FullName}",
            row.QuotaBytes, row.RetentionDays, row.MaxBlobBytes, row.ValidateActions, row.AnonymousRead, row.AssetHosts,
            caches.StageOf(row.OrgId).Name(), usage.Blobs, usage.StoredBytes, row.CreatedAt);
    }
}
