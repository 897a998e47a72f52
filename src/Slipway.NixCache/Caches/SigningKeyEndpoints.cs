using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Data;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// Rotation of a cache's signing keys with overlap: <c>rotate</c> adds a key that signs beside the old ones, at once for new
/// paths and by the job <see cref="ResignJob"/> for those there are; <c>retire</c> ends one. In between clients may trust either.
/// </summary>
internal sealed class SigningKeyEndpoints(Database database, CacheDirectory caches, Changes changes, SecretBox secrets, NixJobs jobs)
{
    /// <summary>Keys signing at once: every one costs each narinfo about 110 bytes and each push a signature.</summary>
    private const int MaxActiveKeys = 4;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.SigningKeys, (string org, string cache, SigningKeyEndpoints e, CancellationToken cancellationToken) => e.ListAsync(org, cache, cancellationToken))
            .RequirePermission(NixPermissions.Query, resourceRouteValue: "cache").WithName("listSigningKeys").WithTags("Nix caches").WithSummary("List a cache's signing keys, retired ones too.").Produces<Page<SigningKey>>();
        endpoints.MapPost(Routes.SigningKeys, (string org, string cache, SigningKeyEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.RotateAsync(org, cache, http, cancellationToken))
            .RequirePermission(NixPermissions.Manage, resourceRouteValue: "cache").WithName("rotateSigningKey").WithTags("Nix caches").WithSummary("Add a signing key; the old ones keep signing until they are retired.").Produces<SigningKey>(StatusCodes.Status201Created);
        endpoints.MapDelete(Routes.SigningKey, (string org, string cache, string name, SigningKeyEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.RetireAsync(org, cache, name, http, cancellationToken))
            .RequirePermission(NixPermissions.Manage, resourceRouteValue: "cache").WithName("retireSigningKey").WithTags("Nix caches").WithSummary("Retire a signing key: it stops signing and its signatures are taken out.").Produces(StatusCodes.Status204NoContent);
    }

    private async Task<IResult> ListAsync(string org, string cacheName, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        await using var connection = await database.OpenAsync(cancellationToken);
        return TypedResults.Ok(new Page<SigningKey>(await SigningKeyRows.ListAsync(connection, cache.Settings.Id, cancellationToken), null));
    }

    private async Task<IResult> RotateAsync(string org, string cacheName, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        var rotated = await changes.CommitAsync(http, ApiJson.Default.SigningKey, async (change, token) =>
        {
            await RaiseVersionAsync(change, cache.Settings.Id, token);
            var keys = await SigningKeyRows.ListAsync(change.Connection, cache.Settings.Id, token);
            if (keys.Count(key => key.Status == "active") >= MaxActiveKeys)
            {
                throw ApiException.Conflict(
                    $"{cache.Settings.FullName} has {MaxActiveKeys} active keys, which is the limit.", "Retire one first: slipway cache key retire.");
            }

            var key = SigningKeyPair.Generate(SigningKeys.NameOf(org, cacheName, keys.Count + 1));
            await SigningKeyRows.InsertAsync(change, cache.Settings.Id, key, secrets, token);
            change.Record(cache.Settings.OrgId, "cache.key_rotated", CacheTargets.Of(cache.Settings), new() { ["publicKey"] = key.PublicKeyText });
            return new SigningKey(key.Name, key.PublicKeyText, "active", change.Now, null);
        }, cancellationToken);
        await caches.ReloadAsync(cache.Settings.Id, CancellationToken.None);
        await jobs.EnqueueResignAsync(cache.Settings.Id, CancellationToken.None);
        return TypedResults.Created($"{http.Request.Path}/{rotated.Name}", rotated);
    }

    private async Task<IResult> RetireAsync(string org, string cacheName, string name, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            await RaiseVersionAsync(change, cache.Settings.Id, token);
            var keys = await SigningKeyRows.ListAsync(change.Connection, cache.Settings.Id, token);
            if (!keys.Any(key => key.Name == name && key.Status == "active"))
            {
                throw ApiException.NotFound($"active signing key {name} of {cache.Settings.FullName}");
            }

            if (keys.Count(key => key.Status == "active") == 1)
            {
                throw ApiException.Conflict(
                    $"{name} is the only active key: without it nothing would be signed.", "Rotate first, give clients time to trust the new key, then retire this one.");
            }

            await change.Connection.ExecuteAsync(new CommandDefinition(
                "update nix_signing_key set retired_at = @Now where cache_id = @Id and name = @name",
                new { change.Now, cache.Settings.Id, name }, change.Transaction, cancellationToken: token));
            change.Record(cache.Settings.OrgId, "cache.key_retired", CacheTargets.Of(cache.Settings), new() { ["name"] = name });
            return true;
        }, cancellationToken);
        await caches.ReloadAsync(cache.Settings.Id, CancellationToken.None);
        await jobs.EnqueueResignAsync(cache.Settings.Id, CancellationToken.None);
        return TypedResults.NoContent();
    }

    private ServedCache Find(string org, string cache) => caches.Find(org, cache) ?? throw ApiException.NotFound($"cache {org}/{cache}");

    /// <summary>
    /// Takes the cache's row, which waits for pushes that sign with the keys of before; those that come after see the new version
    /// and sign again. So the job that re-signs meets every path.
    /// </summary>
    private static Task RaiseVersionAsync(Change change, Guid cacheId, CancellationToken cancellationToken) =>
        change.Connection.ExecuteAsync(new CommandDefinition(
            "update nix_cache set version = version + 1 where id = @cacheId", new { cacheId }, change.Transaction, cancellationToken: cancellationToken));
}

/// <summary>The rows of signing keys.</summary>
internal static class SigningKeyRows
{
    public static string PublicKeyText(string name, byte[] publicKey) => $"{name}:{Convert.ToBase64String(publicKey)}";

    public static Task InsertAsync(Change change, Guid cacheId, SigningKeyPair key, SecretBox secrets, CancellationToken cancellationToken) =>
        change.Connection.ExecuteAsync(new CommandDefinition(
            "insert into nix_signing_key (cache_id, name, public_key, seed, created_at) values (@cacheId, @Name, @PublicKey, @seed, @Now)",
            new { cacheId, key.Name, key.PublicKey, seed = SigningKeys.Seal(secrets, cacheId, key), change.Now },
            change.Transaction, cancellationToken: cancellationToken));

    public static async Task<List<SigningKey>> ListAsync(Npgsql.NpgsqlConnection connection, Guid cacheId, CancellationToken cancellationToken)
    {
        var rows = await connection.QueryAsync<(string Name, byte[] PublicKey, DateTime CreatedAt, DateTime? RetiredAt)>(new CommandDefinition(
            "select name, public_key, created_at, retired_at from nix_signing_key where cache_id = @cacheId order by created_at, name",
            new { cacheId }, cancellationToken: cancellationToken));
        return [.. rows.Select(row => new SigningKey(
            row.Name, PublicKeyText(row.Name, row.PublicKey), row.RetiredAt is null ? "active" : "retired", row.CreatedAt, row.RetiredAt))];
    }
}
