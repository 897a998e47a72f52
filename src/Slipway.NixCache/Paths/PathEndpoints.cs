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

/// <summary>The paths of a cache: list, show, remove, and which of many are missing.</summary>
internal sealed class PathEndpoints(Database database, CacheDirectory caches, Changes changes)
{
    private const int MaxHashesPerCall = 10_000;

    /// <summary>Referrers named in the refusal of a removal.</summary>
    private const int MaxReferrersNamed = 10;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Paths, (string org, string cache, string? name, PathEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.ListAsync(org, cache, name, http, cancellationToken))
            .RequirePermission(NixPermissions.Query, resourceRouteValue: "cache").WithName("listPaths").WithTags("Nix paths").WithSummary("List the paths of a cache, newest first; ?name= filters by a part of the name.").Produces<Page<NixPath>>();
        endpoints.MapGet(Routes.Path, (string org, string cache, string hash, PathEndpoints e, CancellationToken cancellationToken) => e.ShowAsync(org, cache, hash, cancellationToken))
            .RequirePermission(NixPermissions.Query, resourceRouteValue: "cache").WithName("showPath").WithTags("Nix paths").WithSummary("Show a path: sizes, references, signatures, who pushed it.").Produces<NixPath>();
        endpoints.MapDelete(Routes.Path, (string org, string cache, string hash, bool? referrers, PathEndpoints e, HttpContext http, CancellationToken cancellationToken) =>
                e.RemoveAsync(org, cache, hash, referrers ?? false, http, cancellationToken))
            .RequirePermission(NixPermissions.Delete, resourceRouteValue: "cache").WithName("removePath").WithTags("Nix paths").WithSummary("Remove a path; ?referrers=true also removes every path that needs it.").Produces(StatusCodes.Status204NoContent);
        endpoints.MapPost(Routes.MissingPaths, (string org, string cache, PathEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.MissingAsync(org, cache, http, cancellationToken))
            .RequirePermission(NixPermissions.Query, resourceRouteValue: "cache").WithName("missingPaths").WithTags("Nix paths").WithSummary("Of up to 10,000 store path hashes, those the cache does not have.").Takes(typeof(MissingPathsRequest)).Produces<MissingPaths>();
    }

    private async Task<IResult> ListAsync(string org, string cacheName, string? name, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        var page = PageToken.Read(http);
        var after = PathCursor.Parse(page.After);
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = (await connection.QueryAsync<PathRow>(new CommandDefinition(
            $"""
            {PathRow.Select} where cache_id = @cacheId and (pushed_at, hash) < (@PushedAt, @Hash)
                and (@name::text is null or position(@name in name) > 0)
            order by pushed_at desc, hash desc limit @limit
            """,
            new { cacheId = cache.Settings.Id, after.PushedAt, after.Hash, name, limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        return TypedResults.Ok(PageToken.Cut(http, page, rows.ConvertAll(row => row.Shown()), PathCursor.Write));
    }

    private async Task<IResult> ShowAsync(string org, string cacheName, string hashText, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        var hash = Hash(hashText);
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await connection.QuerySingleOrDefaultAsync<PathRow>(new CommandDefinition(
            $"{PathRow.Select} where cache_id = @cacheId and hash = @hash",
            new { cacheId = cache.Settings.Id, hash = hash.ToArray() }, cancellationToken: cancellationToken));
        return TypedResults.Ok((row ?? throw ApiException.NotFound($"path {hashText} in {org}/{cacheName}")).Shown());
    }

    private async Task<IResult> MissingAsync(string org, string cacheName, HttpContext http, CancellationToken cancellationToken)
    {
        var index = await Find(org, cacheName).IndexAsync(cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.MissingPathsRequest, cancellationToken);
        faults.Require(request.Hashes.Count <= MaxHashesPerCall, "/hashes", $"may have {MaxHashesPerCall:N0} entries a call; ask again for the rest");
        var missing = new List<string>();
        foreach (var (i, text) in request.Hashes.Index())
        {
            if (!StorePathHash.TryParse(text, out var hash))
            {
                faults.Add($"/hashes/{i}", "must be the 32 nix32 characters of a store path");
            }
            else if (!index.Contains(hash))
            {
                missing.Add(text);
            }
        }

        faults.ThrowIfAny();
        return TypedResults.Ok(new MissingPaths(missing));
    }

    private async Task<IResult> RemoveAsync(string org, string cacheName, string hashText, bool withReferrers, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        var index = await cache.IndexAsync(cancellationToken);
        var hash = Hash(hashText);
        (List<byte[]> Hashes, List<byte[]> Nars) removed;
        try
        {
            removed = await RemoveRowsAsync(cache, hashText, hash, withReferrers, http, cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            throw ApiException.Conflict("A path that needs it was pushed at this moment.", "Ask again: the answer names what needs it.");
        }

        foreach (var gone in removed.Hashes)
        {
            index.Remove(new StorePathHash(gone));
        }

        foreach (var nar in removed.Nars)
        {
            index.RemoveNar(Content.Digest.FromBytes(nar));
        }

        return TypedResults.NoContent();
    }

    private async Task<(List<byte[]> Hashes, List<byte[]> Nars)> RemoveRowsAsync(
        ServedCache cache, string hashText, StorePathHash hash, bool withReferrers, HttpContext http, CancellationToken cancellationToken) =>
        await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var rows = (await change.Connection.QueryAsync<(byte[] Hash, string Name, byte[] FileHash)>(new CommandDefinition(
                """
                with recursive doomed (hash) as (
                    select hash from nix_path where cache_id = @cacheId and hash = @hash
                    union
                    select r.hash from nix_reference r join doomed d on r.reference = d.hash where r.cache_id = @cacheId
                )
                select p.hash, p.name, p.file_hash from nix_path p join doomed d on d.hash = p.hash where p.cache_id = @cacheId
                """,
                new { cacheId = cache.Settings.Id, hash = hash.ToArray() }, change.Transaction, cancellationToken: token))).AsList();
            if (rows.Count == 0)
            {
                throw ApiException.NotFound($"path {hashText} in {cache.Settings.FullName}");
            }

            var referrers = rows.Where(row => !row.Hash.AsSpan().SequenceEqual(hash.AsSpan())).Select(row => $"{new StorePathHash(row.Hash)}-{row.Name}").ToList();
            if (referrers.Count > 0 && !withReferrers)
            {
                throw ApiException.Conflict(
                    $"{referrers.Count} path(s) of {cache.Settings.FullName} need it: {string.Join(", ", referrers.Take(MaxReferrersNamed))}{(referrers.Count > MaxReferrersNamed ? ", …" : "")}",
                    "Remove them as well with ?referrers=true (slipway path rm --referrers).");
            }

            var hashes = rows.ConvertAll(row => row.Hash);
            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                delete from nix_reference where cache_id = @cacheId and hash = any(@hashes);
                delete from nix_path where cache_id = @cacheId and hash = any(@hashes);
                """,
                new { cacheId = cache.Settings.Id, hashes = hashes.ToArray() }, change.Transaction, cancellationToken: token));
            // Its bytes must not be served any more either, unless another path has the same. The file goes with the next sweep.
            var nars = await change.Connection.QueryAsync<byte[]>(new CommandDefinition(
                """
                delete from nix_nar n where cache_id = @cacheId and file_hash = any(@files)
                    and not exists (select 1 from nix_path p where p.cache_id = n.cache_id and p.file_hash = n.file_hash)
                returning file_hash
                """,
                new { cacheId = cache.Settings.Id, files = rows.Select(row => row.FileHash).Distinct(ByteArrayComparer.Instance).ToArray() }, change.Transaction, cancellationToken: token));
            foreach (var row in rows)
            {
                change.Record(cache.Settings.OrgId, "nix.path_removed", CacheTargets.Of(cache.Settings), new()
                {
                    ["path"] = $"{new StorePathHash(row.Hash)}-{row.Name}",
                });
            }

            return (Hashes: hashes, Nars: nars.AsList());
        }, cancellationToken);

    private ServedCache Find(string org, string cache) => caches.Find(org, cache) ?? throw ApiException.NotFound($"cache {org}/{cache}");

    private static StorePathHash Hash(string text) =>
        StorePathHash.TryParse(text, out var hash) ? hash : throw ApiException.NotFound($"path {text}");

    private static class PathCursor
    {
        public static (DateTime PushedAt, byte[] Hash) Parse(string? cursor)
        {
            if (cursor is null)
            {
                return (DateTime.MaxValue.ToUniversalTime(), []);
            }

            var comma = cursor.IndexOf(',', StringComparison.Ordinal);
            return (new DateTime(long.Parse(cursor[..comma], System.Globalization.CultureInfo.InvariantCulture), DateTimeKind.Utc), Hash(cursor[(comma + 1)..]).ToArray());
        }

        public static string Write(NixPath path) => $"{path.PushedAt.UtcTicks},{path.Hash}";
    }

    private sealed class PathRow
    {
        public const string Select =
            "select hash, narinfo, undeclared, pushed_by as PushedBy, pushed_via as PushedVia, pushed_at as PushedAt from nix_path";

        public byte[] Hash { get; init; } = [];
        public byte[] NarInfo { get; init; } = [];
        public string[] Undeclared { get; init; } = [];
        public string PushedBy { get; init; } = "";
        public string PushedVia { get; init; } = "";
        public DateTime PushedAt { get; init; }

        public NixPath Shown()
        {
            var info = StoredNarInfo.Read(NarInfo);
            return new NixPath(
                info.StorePath.Hash.ToString(), info.StorePath.FullPath, info.NarHash.ToString(), info.NarSize, info.FileHash.ToString()!, info.FileSize ?? 0,
                info.Compression, [.. info.References.Select(reference => reference.FullPath)], info.Deriver?.ToString(), info.System, info.ContentAddress?.ToString(),
                [.. info.Signatures.Select(signature => signature.ToString())], Undeclared, PushedBy, PushedVia, PushedAt);
        }
    }
}
