using Dapper;
using Slipway.Content;
using Slipway.Data;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>
/// The job type <c>nix.resign</c>: gives every path of a cache the signatures its active keys make now. Runs after a key was
/// added or retired; running it again changes nothing.
/// </summary>
internal sealed class ResignJob(Database database, CacheDirectory caches)
{
    public const string Type = "nix.resign";

    /// <summary>Paths per transaction; signing one takes about 50 µs.</summary>
    private const int BatchSize = 500;

    public async Task RunAsync(Guid cacheId, CancellationToken cancellationToken)
    {
        if (caches.Find(cacheId) is not { } cache)
        {
            return;
        }

        var index = await cache.IndexAsync(cancellationToken);
        byte[] after = [];
        while (true)
        {
            await using var connection = await database.OpenAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            // Locked, so that a signature pushed at the same time is not written over.
            var rows = (await connection.QueryAsync<(byte[] Hash, byte[] NarInfo, byte[] FileHash)>(new CommandDefinition(
                "select hash, narinfo, file_hash from nix_path where cache_id = @cacheId and hash > @after order by hash limit @limit for update",
                new { cacheId, after, limit = BatchSize }, transaction, cancellationToken: cancellationToken))).AsList();
            if (rows.Count == 0)
            {
                return;
            }

            var settings = cache.Settings;
            var signed = rows.ConvertAll(row => (row.Hash, Entry: PathEntry.Of(Sign(settings, row.NarInfo), Digest.FromBytes(row.FileHash))));
            await connection.ExecuteAsync(new CommandDefinition(
                "update nix_path p set narinfo = s.narinfo from unnest(@hashes, @narinfos) as s (hash, narinfo) where p.cache_id = @cacheId and p.hash = s.hash",
                new { cacheId, hashes = signed.Select(path => path.Hash).ToArray(), narinfos = signed.Select(path => path.Entry.NarInfo).ToArray() },
                transaction, cancellationToken: cancellationToken));
            await transaction.CommitAsync(cancellationToken);
            foreach (var (hash, entry) in signed)
            {
                index.Replace(new StorePathHash(hash), entry);
            }

            after = rows[^1].Hash;
        }
    }

    private static byte[] Sign(CacheSettings settings, byte[] narInfo)
    {
        var info = StoredNarInfo.Read(narInfo);
        return PathPublisher.Signed(settings, info, PathPublisher.Foreign(settings, info.Signatures)).Write();
    }
}
