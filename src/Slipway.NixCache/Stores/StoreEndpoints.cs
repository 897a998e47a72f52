using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Content;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// Stores: where bytes lie. Only superusers see and make them; a Nix cache names the one it lives in. Other features have stores of their own,
/// which are open like these, and no rows: what has a row is swept of everything that no Nix cache names.
/// </summary>
internal sealed class StoreEndpoints(
    Database database, ContentStores stores, StoreFsck fsck, Changes changes, NixCacheOptions options, TimeProvider time)
{
    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Stores, (StoreEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(http, cancellationToken))
            .RequireSuperuser().WithName("listStores").WithTags("Stores").WithSummary("List the stores of the server.").Produces<Page<Store>>();
        endpoints.MapPost(Routes.Stores, (StoreEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.CreateAsync(http, cancellationToken))
            .RequireSuperuser().WithName("createStore").WithTags("Stores").WithSummary("Create a store in a folder of the server.").Takes(typeof(CreateStoreRequest)).Produces<Store>(StatusCodes.Status201Created);
        endpoints.MapGet(Routes.Store, (string store, StoreEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(store, http, cancellationToken))
            .RequireSuperuser().WithName("showStore").WithTags("Stores").WithSummary("Show a store with its free space.").Produces<Store>();
        endpoints.MapPost(Routes.StoreFsck, (string store, bool? deep, StoreEndpoints e, CancellationToken cancellationToken) => e.CheckAsync(store, deep ?? false, cancellationToken))
            .RequireSuperuser().WithName("checkStore").WithTags("Stores").WithSummary("Compare a store with its index and with what refers to it; ?deep=true reads every blob, too.").Produces<FsckReport>();
    }

    private async Task<IResult> ListAsync(HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = (await connection.QueryAsync<StoreRow>(new CommandDefinition(
            $"{StoreRow.Select} where s.name > @after order by s.name limit @limit", new { after = page.After ?? "", limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        var named = (await connection.QueryAsync<Guid>(new CommandDefinition("select id from content_store", cancellationToken: cancellationToken))).ToHashSet();
        rows.AddRange(stores.Opened.Where(one => !named.Contains(one.Id) && string.CompareOrdinal(one.Name, page.After ?? "") > 0).Select(StoreRow.Of));
        var shown = new List<Store>();
        foreach (var row in rows.OrderBy(row => row.Name, StringComparer.Ordinal).Take(page.Size + 1))
        {
            shown.Add(await ShownAsync(row, cancellationToken));
        }

        return TypedResults.Ok(PageToken.Cut(http, page, shown, store => store.Name));
    }

    private async Task<IResult> CreateAsync(HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateStoreRequest, cancellationToken);
        ResourceName.Check(faults, "/name", request.Name);
        var path = request.Path ?? Path.Combine(options.StoreFolder, request.Name);
        faults.Require(Path.IsPathFullyQualified(path) && Path.GetFullPath(path) == path, "/path", "must be an absolute path without . and ..");
        faults.ThrowIfAny();
        if (stores.Find(request.Name) is not null)
        {
            throw ApiException.Conflict("There is a store with this name already.");
        }

        var id = EntityId.New(time);
        try
        {
            await changes.CommitAsync(http, ApiJson.Default.Store, async (change, token) =>
            {
                await change.Connection.ExecuteAsync(new CommandDefinition(
                    "insert into content_store (id, name, kind, path, created_at) values (@id, @Name, 'disk', @path, @Now)",
                    new { id, request.Name, path, change.Now }, change.Transaction, cancellationToken: token));
                // Before the commit: a folder that can't be used makes no store.
                await stores.OpenAsync(id, request.Name, path, token);
                change.Record(null, "store.created", new EventTarget("store", EntityId.Show("store", id), request.Name), new() { ["path"] = path });
                return new Store(EntityId.Show("store", id), request.Name, "disk", path, 0, null, true, change.Now);
            }, cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw ApiException.Conflict("There is a store with this name or folder already.");
        }
        catch (ContentStoreException exception)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, exception.Message, null, new FieldFault("/path", "can't be used"));
        }

        return TypedResults.Created($"/v1/stores/{request.Name}", await ShownAsync(await FindAsync(request.Name, cancellationToken), cancellationToken));
    }

    private async Task<IResult> ShowAsync(string name, HttpContext http, CancellationToken cancellationToken)
    {
        var row = await FindAsync(name, cancellationToken);
        return ETags.IsUnchanged(http, ETags.Of(row.Id, 1)) ? TypedResults.StatusCode(StatusCodes.Status304NotModified) : TypedResults.Ok(await ShownAsync(row, cancellationToken));
    }

    private async Task<IResult> CheckAsync(string name, bool deep, CancellationToken cancellationToken) =>
        TypedResults.Ok(await fsck.CheckAsync(stores.Find(name) ?? throw ApiException.NotFound($"store {name}"), deep, cancellationToken));

    private async Task<StoreRow> FindAsync(string name, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.QuerySingleOrDefaultAsync<StoreRow>(new CommandDefinition(
            $"{StoreRow.Select} where s.name = @name", new { name }, cancellationToken: cancellationToken))
            ?? (stores.Find(name) is { } opened ? StoreRow.Of(opened) : throw ApiException.NotFound($"store {name}"));
    }

    private async Task<Store> ShownAsync(StoreRow row, CancellationToken cancellationToken)
    {
        var health = await stores.Get(row.Id).ProbeAsync(cancellationToken);
        return new Store(EntityId.Show("store", row.Id), row.Name, row.Kind, row.Path, row.Caches, health.FreeBytes, health.Writable, row.CreatedAt);
    }

    private sealed class StoreRow
    {
        public const string Select =
            """
            select s.id, s.name, s.kind, s.path, s.created_at, (select count(*)::int from nix_cache c where c.store_id = s.id) as caches
            from content_store s
            """;

        public Guid Id { get; init; }
        public string Name { get; init; } = "";
        public string Kind { get; init; } = "";
        public string Path { get; init; } = "";
        public int Caches { get; init; }
        public DateTime CreatedAt { get; init; }

        /// <summary>A store of another feature. Its space of the store's own id has nothing; each of the others is a cache.</summary>
        public static StoreRow Of(OpenedStore opened) => new()
        {
            Id = opened.Id,
            Name = opened.Name,
            Kind = "disk",
            Path = opened.Path,
            Caches = opened.Segments.Spaces.Count(space => space.Owner != opened.Id),
            CreatedAt = Directory.GetCreationTimeUtc(opened.Path),
        };
    }
}
