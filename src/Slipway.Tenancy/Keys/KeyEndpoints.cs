using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.Tenancy;

/// <summary>Keys of the caller and of an org's service accounts, and the catalogue of scopes.</summary>
internal static class KeyEndpoints
{
    private const int MostScopes = 50;

    /// <summary>Active keys per holder: one per machine and pipeline, with room.</summary>
    private const int MostActive = 500;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Scopes, ListScopes).RequireSignIn().Produces<Page<ScopeDefinition>>();

        endpoints.MapGet(Routes.Keys, (HttpContext http, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken) =>
            ListAsync(http, Own(http), database, time, cancellationToken)).RequireSession().Produces<Page<Key>>();
        endpoints.MapPost(Routes.Keys, (HttpContext http, Changes changes, PermissionCatalogue catalogue, TenancyOptions options, CancellationToken cancellationToken) =>
            IssueAsync(http, Own(http), Routes.Keys, changes, catalogue, options, cancellationToken)).RequireSession().Takes(typeof(IssueKeyRequest)).Produces<IssuedKey>(201);
        endpoints.MapGet(Routes.Key, (HttpContext http, string key, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken) =>
            ShowAsync(http, Own(http), key, database, time, cancellationToken)).RequireSession().Produces<Key>();
        endpoints.MapDelete(Routes.Key, (HttpContext http, string key, Changes changes, Authenticator authenticator, CancellationToken cancellationToken) =>
            RevokeAsync(http, Own(http), key, changes, authenticator, cancellationToken)).RequireSession().Produces(204);

        var manage = TenancyPermissions.ManageServiceAccounts;
        endpoints.MapGet(Routes.ServiceAccountKeys, async (HttpContext http, string org, string account, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken) =>
            await ListAsync(http, await OfAsync(http, org, account, database, cancellationToken), database, time, cancellationToken))
            .RequirePermission(manage).Produces<Page<Key>>();
        endpoints.MapPost(Routes.ServiceAccountKeys, async (HttpContext http, string org, string account, NpgsqlDataSource database, Changes changes, PermissionCatalogue catalogue, TenancyOptions options, CancellationToken cancellationToken) =>
            await IssueAsync(http, await OfAsync(http, org, account, database, cancellationToken), http.Request.Path, changes, catalogue, options, cancellationToken))
            .RequirePermission(manage).Takes(typeof(IssueKeyRequest)).Produces<IssuedKey>(201);
        endpoints.MapGet(Routes.ServiceAccountKey, async (HttpContext http, string org, string account, string key, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken) =>
            await ShowAsync(http, await OfAsync(http, org, account, database, cancellationToken), key, database, time, cancellationToken))
            .RequirePermission(manage).Produces<Key>();
        endpoints.MapDelete(Routes.ServiceAccountKey, async (HttpContext http, string org, string account, string key, NpgsqlDataSource database, Changes changes, Authenticator authenticator, CancellationToken cancellationToken) =>
            await RevokeAsync(http, await OfAsync(http, org, account, database, cancellationToken), key, changes, authenticator, cancellationToken))
            .RequirePermission(manage).Produces(204);
    }

    internal static KeyHolder Own(HttpContext http) => new(http.GetCaller().PrincipalId, null, http.GetCaller().Name, null);

    internal static async Task<KeyHolder> OfAsync(HttpContext http, string org, string account, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await ServiceAccountRow.FindAsync(connection, null, http.GetCaller().OrgId(org)!.Value, account, cancellationToken);
        return new KeyHolder(null, row.Id, row.Name, row.OrgId);
    }

    private static IResult ListScopes(PermissionCatalogue catalogue) =>
        TypedResults.Json(new Page<ScopeDefinition>(catalogue.Scopes, null), ApiJson.Default.PageScopeDefinition);

    private static async Task<IResult> ListAsync(HttpContext http, KeyHolder holder, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<KeyRow>(new CommandDefinition(
            $"select {KeyRow.Columns} from api_key where {holder.Condition} and (@after::uuid is null or id < @after) order by id desc limit @limit",
            new { holder = holder.Id, after = page.AfterId(), limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.Id.ToString());
        var now = time.GetUtcNow();
        return TypedResults.Json(new Page<Key>([.. cut.Items.Select(row => row.ToKey(holder.Name, now))], cut.NextPageToken), ApiJson.Default.PageKey);
    }

    private static async Task<IResult> IssueAsync(
        HttpContext http, KeyHolder holder, string collection, Changes changes, PermissionCatalogue catalogue, TenancyOptions options,
        CancellationToken cancellationToken)
    {
        var mostDays = (int)options.KeyMaxLifetime.TotalDays;
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.IssueKeyRequest, cancellationToken);
        faults.Require(Names.IsLabel(request.Name), "/name", Names.LabelRule);
        faults.Require(request.ExpiresInDays is null || (request.ExpiresInDays >= 1 && request.ExpiresInDays <= mostDays), "/expiresInDays", $"must be from 1 to {mostDays}");
        faults.Require(request.Scopes.Count is > 0 and <= MostScopes, "/scopes", $"must have 1 to {MostScopes} scopes");
        foreach (var (index, text) in request.Scopes.Take(MostScopes).Index())
        {
            if (catalogue.FaultOf(text) is { } fault)
            {
                faults.Add($"/scopes/{index}", fault);
            }
        }

        faults.ThrowIfAny();
        var issued = await changes.CommitAsync(http, ApiJson.Default.IssuedKey, async (change, token) =>
        {
            var holderTable = holder.UserId is null ? "service_account" : "user_account";
            var there = await change.Connection.ExecuteScalarAsync<Guid?>(new CommandDefinition(
                $"select id from {holderTable} where id = @Id for update", new { holder.Id }, change.Transaction, cancellationToken: token));
            if (there is null)
            {
                throw ApiException.NotFound(holder.Name);
            }

            var active = await change.Connection.ExecuteScalarAsync<long>(new CommandDefinition(
                $"select count(*) from api_key where {holder.Condition} and revoked_at is null and expires_at > @Now",
                new { holder = holder.Id, change.Now },
                change.Transaction,
                cancellationToken: token));
            if (active >= MostActive)
            {
                throw ApiException.Conflict($"{holder.Name} has {active} active keys, and {MostActive} is the most.", "Revoke some that are not used any more.");
            }

            var fresh = Token.New(holder.Kind);
            var row = await change.Connection.QuerySingleAsync<KeyRow>(new CommandDefinition(
                $"""
                insert into api_key (id, token_id, secret_hash, name, user_id, service_account_id, scopes, created_at, expires_at)
                values (@id, @TokenId, @SecretHash, @Name, @UserId, @ServiceAccountId, @scopes, @Now, @expires)
                returning {KeyRow.Columns}
                """,
                new
                {
                    id = Guid.CreateVersion7(change.Now),
                    TokenId = fresh.Id,
                    fresh.SecretHash,
                    request.Name,
                    holder.UserId,
                    holder.ServiceAccountId,
                    scopes = request.Scopes.Distinct(StringComparer.Ordinal).ToArray(),
                    change.Now,
                    expires = change.Now + (request.ExpiresInDays is { } days ? TimeSpan.FromDays(days) : options.KeyDefaultLifetime),
                },
                change.Transaction,
                cancellationToken: token));
            change.Record(holder.OrgId, "key.issued", row.ToTarget(), new JsonObject
            {
                ["principal"] = holder.Name,
                ["scopes"] = new JsonArray([.. row.Scopes.Select(scope => JsonValue.Create(scope))]),
                ["expiresAt"] = row.ExpiresAt.UtcDateTime.ToString("O"),
            });
            return new IssuedKey(fresh.Text, row.ToKey(holder.Name, change.Now));
        }, cancellationToken);
        return Answers.Created(http, issued, ApiJson.Default.IssuedKey, $"{collection}/{issued.Key.Id}", null);
    }

    private static async Task<IResult> ShowAsync(HttpContext http, KeyHolder holder, string key, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await FindAsync(connection, null, holder, key, cancellationToken);
        return Answers.One(http, row.ToKey(holder.Name, time.GetUtcNow()), ApiJson.Default.Key, null);
    }

    private static async Task<IResult> RevokeAsync(
        HttpContext http, KeyHolder holder, string key, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, holder, key, token);
            if (row.RevokedAt is null)
            {
                await change.Connection.ExecuteAsync(new CommandDefinition(
                    "update api_key set revoked_at = @Now where id = @Id", new { change.Now, row.Id }, change.Transaction, cancellationToken: token));
                change.Record(holder.OrgId, "key.revoked", row.ToTarget(), new JsonObject { ["principal"] = holder.Name });
                change.AfterCommit(authenticator.Forget);
            }

            return 0;
        }, cancellationToken);
        return TypedResults.NoContent();
    }

    // By id, or by the public start of the token: that is what a log or a leak shows.
    internal static async Task<KeyRow> FindAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, KeyHolder holder, string key, CancellationToken cancellationToken)
    {
        var byId = EntityId.TryRead("key", key, out var id);
        var tokenId = key.StartsWith($"slp_{(char)holder.Kind}_", StringComparison.Ordinal) && key.Length == 6 + Token.IdLength && key.AsSpan(6).IndexOfAnyExceptInRange('0', 'z') < 0 ? key[6..] : null;
        var row = byId || tokenId is not null
            ? await connection.QuerySingleOrDefaultAsync<KeyRow>(new CommandDefinition(
                $"select {KeyRow.Columns} from api_key where {holder.Condition} and {(byId ? "id = @id" : "token_id = @tokenId")} {(transaction is null ? "" : "for update")}",
                new { holder = holder.Id, id, tokenId },
                transaction,
                cancellationToken: cancellationToken))
            : null;
        return row ?? throw ApiException.NotFound("key");
    }
}
