using Dapper;
using Microsoft.Extensions.Logging;
using Slipway.Content;
using Slipway.Data;

namespace Slipway.NixCache;

/// <summary>
/// Takes away what nothing refers to: NARs whose narinfo never came, and blobs no cache of the store names any more. The grace
/// times are in <see cref="NixCacheOptions"/>. Garbage collection of paths by policy is another matter.
/// </summary>
internal sealed partial class StoreSweep(
    Database database, ContentStores stores, CacheDirectory caches, NixCacheOptions options, TimeProvider time, ILogger<StoreSweep> logger)
{
    /// <summary>Blobs looked up in the database at a time.</summary>
    private const int BatchSize = 1000;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await DropOrphanNarsAsync(cancellationToken);
        foreach (var storeId in await StoreIdsAsync(cancellationToken))
        {
            await SweepAsync(storeId, cancellationToken);
        }
    }

    private async Task<IEnumerable<Guid>> StoreIdsAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.QueryAsync<Guid>(new CommandDefinition("select id from content_store", cancellationToken: cancellationToken));
    }

    private async Task DropOrphanNarsAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var dropped = await connection.QueryAsync<(Guid CacheId, byte[] FileHash)>(new CommandDefinition(
            """
            delete from nix_nar n where uploaded_at < @before
                and not exists (select 1 from nix_path p where p.cache_id = n.cache_id and p.file_hash = n.file_hash)
            returning cache_id, file_hash
            """,
            new { before = time.GetUtcNow() - options.OrphanNarAge }, cancellationToken: cancellationToken));
        foreach (var nar in dropped)
        {
            if (caches.Find(nar.CacheId) is { } cache)
            {
                (await cache.IndexAsync(cancellationToken)).RemoveNar(Digest.FromBytes(nar.FileHash));
            }
        }
    }

    private async Task SweepAsync(Guid storeId, CancellationToken cancellationToken)
    {
        var store = stores.Get(storeId);
        var before = time.GetUtcNow() - options.UnreferencedBlobAge;
        var old = new List<Digest>(BatchSize);
        long deleted = 0;
        await foreach (var blob in store.ListAsync(cancellationToken))
        {
            if (blob.PublishedAt >= before)
            {
                continue;
            }

            old.Add(blob.Digest);
            if (old.Count == BatchSize)
            {
                deleted += await DeleteUnreferencedAsync(store, storeId, old, before, cancellationToken);
                old.Clear();
            }
        }

        deleted += await DeleteUnreferencedAsync(store, storeId, old, before, cancellationToken);
        if (deleted > 0)
        {
            Log.Swept(logger, deleted);
        }
    }

    private async Task<int> DeleteUnreferencedAsync(IContentStore store, Guid storeId, List<Digest> blobs, DateTimeOffset before, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var unreferenced = await connection.QueryAsync<byte[]>(new CommandDefinition(
            """
            select b.digest from unnest(@digests) as b (digest)
            where not exists (select 1 from nix_nar n join nix_cache c on c.id = n.cache_id where n.file_hash = b.digest and c.store_id = @storeId)
                and not exists (select 1 from nix_log l join nix_cache c on c.id = l.cache_id where l.digest = b.digest and c.store_id = @storeId)
            """,
            new { storeId, digests = blobs.Select(blob => blob.ToArray()).ToArray() }, cancellationToken: cancellationToken));
        var deleted = 0;
        foreach (var digest in unreferenced)
        {
            deleted += await store.DeleteAsync(Digest.FromBytes(digest), before, cancellationToken) ? 1 : 0;
        }

        return deleted;
    }

    private static partial class Log
    {
        [LoggerMessage(Level = LogLevel.Information, Message = "Swept {Blobs} blobs that nothing refers to.")]
        public static partial void Swept(ILogger logger, long blobs);
    }
}
