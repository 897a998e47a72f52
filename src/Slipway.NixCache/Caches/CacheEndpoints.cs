using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>Create, list, show, change and delete caches.</summary>
internal sealed class CacheEndpoints(
    Database database, CacheDirectory caches, Changes changes, SecretBox secrets, NixCacheOptions options, TimeProvider time)
{
    /// <summary>After cache.nixos.org, which says 40: what is there anyway should not be asked of us first.</summary>
    private const int DefaultPriority = 41;

    private const string DefaultStore = "default";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        var tags = "Nix caches";
        endpoints.MapGet(Routes.Caches, (string org, CacheEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.ListAsync(org, http, cancellationToken))
            .RequirePermission(NixPermissions.Query).WithName("listCaches").WithTags(tags).WithSummary("List an org's Nix caches.").Produces<Page<Cache>>();
        endpoints.MapPost(Routes.Caches, (string org, CacheEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.CreateAsync(org, http, cancellationToken))
            .RequirePermission(NixPermissions.Manage).WithName("createCache").WithTags(tags).WithSummary("Create a Nix cache with its first signing key.").Takes(typeof(CreateCacheRequest)).Produces<Cache>(StatusCodes.Status201Created);
        endpoints.MapGet(Routes.Cache, (string org, string cache, CacheEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.ShowAsync(org, cache, http, cancellationToken))
            .RequirePermission(NixPermissions.Query, resourceRouteValue: "cache").WithName("showCache").WithTags(tags).WithSummary("Show a Nix cache.").Produces<Cache>();
        endpoints.MapPatch(Routes.Cache, (string org, string cache, CacheEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.UpdateAsync(org, cache, http, cancellationToken))
            .RequirePermission(NixPermissions.Manage, resourceRouteValue: "cache").WithName("updateCache").WithTags(tags).WithSummary("Change a Nix cache's settings.").Takes(typeof(UpdateCacheRequest)).Produces<Cache>();
        endpoints.MapDelete(Routes.Cache, (string org, string cache, CacheEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.DeleteAsync(org, cache, http, cancellationToken))
            .RequirePermission(NixPermissions.Manage, resourceRouteValue: "cache").WithName("deleteCache").WithTags(tags).WithSummary("Delete a Nix cache and all its paths.").Produces(StatusCodes.Status204NoContent);
    }

    private async Task<IResult> ListAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = (await connection.QueryAsync<CacheRow>(new CommandDefinition(
            $"{CacheRow.Select} where c.org_id = @orgId and c.name > @after order by c.name limit @limit",
            new { orgId = http.GetCaller().OrgId(org), after = page.After ?? "", limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        return TypedResults.Ok(PageToken.Cut(http, page, rows.ConvertAll(Shown), cache => cache.Name));
    }

    private async Task<IResult> CreateAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateCacheRequest, cancellationToken);
        ResourceName.Check(faults, "/name", request.Name);
        CheckSettings(faults, request.Priority, request.ReferenceCheck);
        faults.ThrowIfAny();
        var orgId = http.GetCaller().OrgId(org)!.Value;
        Cache created;
        try
        {
            created = await changes.CommitAsync(http, ApiJson.Default.Cache, (change, token) => InsertAsync(change, orgId, org, request, token), cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw ApiException.Conflict($"{org} has a cache named {request.Name} already.");
        }

        EntityId.TryRead("cache", created.Id, out var id);
        await caches.ReloadAsync(id, CancellationToken.None);
        return TypedResults.Created($"/v1/orgs/{org}/caches/{request.Name}", created);
    }

    private async Task<Cache> InsertAsync(Change change, Guid orgId, string org, CreateCacheRequest request, CancellationToken cancellationToken)
    {
        var storeName = request.Store ?? DefaultStore;
        var storeId = await change.Connection.QuerySingleOrDefaultAsync<Guid?>(new CommandDefinition(
            "select id from content_store where name = @storeName", new { storeName }, change.Transaction, cancellationToken: cancellationToken))
            ?? throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, $"There is no store named '{storeName}'.", null, new FieldFault("/store", "names no store"));
        var id = EntityId.New(time);
        await change.Connection.ExecuteAsync(new CommandDefinition(
            """
            insert into nix_cache (id, org_id, name, store_id, public, priority, reference_check, created_at)
            values (@id, @orgId, @Name, @storeId, @Public, @priority, @referenceCheck, @Now)
            """,
            new
            {
                id, orgId, request.Name, storeId, request.Public, change.Now,
                priority = request.Priority ?? DefaultPriority,
                referenceCheck = request.ReferenceCheck ?? "strict",
            },
            change.Transaction, cancellationToken: cancellationToken));
        var key = SigningKeyPair.Generate(SigningKeys.NameOf(org, request.Name, 1));
        await SigningKeyRows.InsertAsync(change, id, key, secrets, cancellationToken);
        change.Record(orgId, "cache.created", CacheTargets.Of(id, $"{org}/{request.Name}"), new()
        {
            ["public"] = request.Public,
            ["store"] = storeName,
            ["publicKey"] = key.PublicKeyText,
        });
        return Shown(await change.Connection.QuerySingleAsync<CacheRow>(new CommandDefinition(
            $"{CacheRow.Select} where c.id = @id", new { id }, change.Transaction, cancellationToken: cancellationToken)));
    }

    private async Task<IResult> ShowAsync(string org, string cache, HttpContext http, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await FindAsync(connection, null, org, cache, http, forUpdate: false, cancellationToken);
        return ETags.IsUnchanged(http, row.ETag) ? TypedResults.StatusCode(StatusCodes.Status304NotModified) : TypedResults.Ok(Shown(row));
    }

    private async Task<IResult> UpdateAsync(string org, string cache, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.UpdateCacheRequest, cancellationToken);
        CheckSettings(faults, request.Priority, request.ReferenceCheck);
        faults.ThrowIfAny();

        var updated = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, org, cache, http, forUpdate: true, token);
            ETags.Require(http, row.ETag);
            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                update nix_cache set public = coalesce(@Public, public), priority = coalesce(@Priority, priority),
                    reference_check = coalesce(@ReferenceCheck, reference_check), version = version + 1
                where id = @Id
                """,
                new { row.Id, request.Public, request.Priority, request.ReferenceCheck }, change.Transaction, cancellationToken: token));
            var after = await change.Connection.QuerySingleAsync<CacheRow>(new CommandDefinition(
                $"{CacheRow.Select} where c.id = @Id", new { row.Id }, change.Transaction, cancellationToken: token));
            change.Record(row.OrgId, "cache.updated", CacheTargets.Of(row.Id, $"{org}/{cache}"), Differences(row, after));
            return after;
        }, cancellationToken);
        await caches.ReloadAsync(updated.Id, CancellationToken.None);
        http.Response.Headers.ETag = updated.ETag;
        return TypedResults.Ok(Shown(updated));
    }

    private async Task<IResult> DeleteAsync(string org, string cache, HttpContext http, CancellationToken cancellationToken)
    {
        var deleted = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, org, cache, http, forUpdate: true, token);
            ETags.Check(http, row.ETag);
            // References first: they hold the paths. The blobs go with the next sweep of the store.
            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                delete from nix_reference where cache_id = @Id;
                delete from nix_path where cache_id = @Id;
                delete from nix_cache where id = @Id;
                """, new { row.Id }, change.Transaction, cancellationToken: token));
            change.Record(row.OrgId, "cache.deleted", CacheTargets.Of(row.Id, $"{org}/{cache}"), new() { ["paths"] = row.Paths });
            return row;
        }, cancellationToken);
        caches.Remove(deleted.Id);
        return TypedResults.NoContent();
    }

    private static async Task<CacheRow> FindAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, string org, string cache, HttpContext http, bool forUpdate, CancellationToken cancellationToken)
    {
        var parameters = new { orgId = http.GetCaller().OrgId(org), cache };
        if (forUpdate)
        {
            await connection.ExecuteAsync(new CommandDefinition(
                "select 1 from nix_cache where org_id = @orgId and name = @cache for update", parameters, transaction, cancellationToken: cancellationToken));
        }

        return await connection.QuerySingleOrDefaultAsync<CacheRow>(new CommandDefinition(
            $"{CacheRow.Select} where c.org_id = @orgId and c.name = @cache", parameters, transaction, cancellationToken: cancellationToken))
            ?? throw ApiException.NotFound($"cache {org}/{cache}");
    }

    private static void CheckSettings(Faults faults, int? priority, string? referenceCheck)
    {
        faults.Require(priority is null or (>= 0 and <= 1000), "/priority", "must be 0 to 1000; lower is asked first, cache.nixos.org has 40");
        faults.Require(referenceCheck is null or "strict" or "record", "/referenceCheck", "must be strict or record");
    }

    private static System.Text.Json.Nodes.JsonObject Differences(CacheRow before, CacheRow after)
    {
        var differences = new System.Text.Json.Nodes.JsonObject();
        Add("public", before.Public, after.Public);
        Add("priority", before.Priority, after.Priority);
        Add("referenceCheck", before.ReferenceCheck, after.ReferenceCheck);
        return differences;

        void Add<T>(string field, T from, T to)
        {
            if (!Equals(from, to))
            {
                differences[field] = new System.Text.Json.Nodes.JsonArray(System.Text.Json.Nodes.JsonValue.Create(from), System.Text.Json.Nodes.JsonValue.Create(to));
            }
        }
    }

    private Cache Shown(CacheRow row) => new(
        EntityId.Show("cache", row.Id), row.Org, row.Name, row.Store, Url(row), row.Public, row.Priority, row.ReferenceCheck,
        [.. row.KeyNames.Zip(row.PublicKeys, SigningKeyRows.PublicKeyText)],
        row.Paths, row.NarBytes, row.FileBytes, row.CreatedAt);

    /// <summary>Its own host name when it has one, else its place under the server's URL.</summary>
    private string Url(CacheRow row)
    {
        var fullName = $"{row.Org}/{row.Name}";
        var host = options.Hosts.FirstOrDefault(host => host.Value == fullName).Key;
        return host is null
            ? $"{options.PublicUrl.ToString().TrimEnd('/')}/nix/{fullName}"
            : new UriBuilder(options.PublicUrl) { Host = host, Path = "" }.Uri.ToString().TrimEnd('/');
    }

    private sealed class CacheRow
    {
        public const string Select =
            """
            select c.id, c.org_id as OrgId, o.name as Org, c.name, s.name as Store, c.public, c.priority, c.reference_check as ReferenceCheck,
                c.version, c.created_at as CreatedAt, k.names as KeyNames, k.keys as PublicKeys,
                p.paths, p.nar_bytes as NarBytes, p.file_bytes as FileBytes
            from nix_cache c
            join org o on o.id = c.org_id
            join content_store s on s.id = c.store_id
            cross join lateral (
                select coalesce(array_agg(name order by created_at, name), '{}') as names, coalesce(array_agg(public_key order by created_at, name), '{}') as keys
                from nix_signing_key where cache_id = c.id and retired_at is null) k
            cross join lateral (
                select count(*) as paths, coalesce(sum(n.nar_size), 0)::bigint as nar_bytes, coalesce(sum(n.file_size), 0)::bigint as file_bytes
                from nix_path p join nix_nar n on n.cache_id = p.cache_id and n.file_hash = p.file_hash where p.cache_id = c.id) p
            """;

        public string ETag => ETags.Of(Id, Version);

        public Guid Id { get; init; }
        public Guid OrgId { get; init; }
        public string Org { get; init; } = "";
        public string Name { get; init; } = "";
        public string Store { get; init; } = "";
        public bool Public { get; init; }
        public int Priority { get; init; }
        public string ReferenceCheck { get; init; } = "";
        public long Version { get; init; }
        public DateTime CreatedAt { get; init; }
        public string[] KeyNames { get; init; } = [];
        public byte[][] PublicKeys { get; init; } = [];
        public long Paths { get; init; }
        public long NarBytes { get; init; }
        public long FileBytes { get; init; }
    }
}
