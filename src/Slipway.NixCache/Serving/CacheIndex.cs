using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using Dapper;
using Slipway.Content;
using Slipway.Data;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>A path as it is served: the signed narinfo, ready-made.</summary>
/// <param name="NarInfo">The response body. Never changed in place: a re-signed path gets a new entry.</param>
/// <param name="ETag">Strong, over the body.</param>
/// <param name="FileHash">Its NAR file.</param>
internal sealed record PathEntry(byte[] NarInfo, string ETag, Digest FileHash)
{
    public static PathEntry Of(byte[] narInfo, Digest fileHash)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(narInfo, hash);
        return new PathEntry(narInfo, $"\"{Base64Url.EncodeToString(hash[..12])}\"", fileHash);
    }
}

/// <summary>A NAR file a cache may serve.</summary>
internal readonly record struct NarEntry(long FileSize, string Compression);

/// <summary>
/// All paths and NAR files of one cache in memory: a hit and a miss are both answered without the database.
/// </summary>
/// <remarks>
/// About 900 bytes a path: a million paths are under 1 GB. The database is the truth; rows are committed first, then entered
/// here, and taken out here before they are deleted there, so this index never promises what the database does not hold.
/// One server per database relies on its own index; how several servers follow each other is docs/adr/0007.
/// Safe for concurrent use.
/// </remarks>
internal sealed class CacheIndex
{
    private readonly ConcurrentDictionary<StorePathHash, PathEntry> paths = new();
    private readonly ConcurrentDictionary<Digest, NarEntry> nars = new();
    private long removals;

    public int PathCount => paths.Count;

    public PathEntry? Find(StorePathHash hash) => paths.GetValueOrDefault(hash);

    public bool Contains(StorePathHash hash) => paths.ContainsKey(hash);

    public bool TryFindNar(Digest fileHash, out NarEntry nar) => nars.TryGetValue(fileHash, out nar);

    public void Enter(StorePathHash hash, PathEntry entry) => paths[hash] = entry;

    /// <summary>Replaces a path that is still there; one that was removed meanwhile stays removed.</summary>
    public void Replace(StorePathHash hash, PathEntry entry)
    {
        if (paths.TryGetValue(hash, out var current))
        {
            paths.TryUpdate(hash, entry, current);
        }
    }

    /// <summary>How many removals there were. Who enters a path after its commit looks at it before and after.</summary>
    public long Removals => Interlocked.Read(ref removals);

    public void Remove(StorePathHash hash)
    {
        Interlocked.Increment(ref removals);
        paths.TryRemove(hash, out _);
    }

    public void EnterNar(Digest fileHash, NarEntry nar) => nars[fileHash] = nar;

    public void RemoveNar(Digest fileHash) => nars.TryRemove(fileHash, out _);

    /// <summary>
    /// Makes the index say of <paramref name="hashes"/> what the database says: after a commit whose answer was lost, or when paths
    /// were removed while others were entered.
    /// </summary>
    public async Task ReadAgainAsync(Database database, Guid cacheId, IReadOnlyCollection<StorePathHash> hashes, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = await connection.QueryAsync<(byte[] Hash, byte[] NarInfo, byte[] FileHash, long FileSize, string Compression)>(new CommandDefinition(
            """
            select p.hash, p.narinfo, p.file_hash, n.file_size, n.compression
            from nix_path p join nix_nar n on n.cache_id = p.cache_id and n.file_hash = p.file_hash
            where p.cache_id = @cacheId and p.hash = any(@hashes)
            """,
            new { cacheId, hashes = hashes.Select(hash => hash.ToArray()).ToArray() }, cancellationToken: cancellationToken));
        var gone = hashes.ToHashSet();
        foreach (var row in rows)
        {
            var fileHash = Digest.FromBytes(row.FileHash);
            gone.Remove(new StorePathHash(row.Hash));
            EnterNar(fileHash, new NarEntry(row.FileSize, row.Compression));
            Enter(new StorePathHash(row.Hash), PathEntry.Of(row.NarInfo, fileHash));
        }

        foreach (var hash in gone)
        {
            paths.TryRemove(hash, out _);
        }
    }

    public static async Task<CacheIndex> LoadAsync(Database database, Guid cacheId, CancellationToken cancellationToken)
    {
        var index = new CacheIndex();
        await using var connection = await database.OpenAsync(cancellationToken);
        var nars = connection.QueryUnbufferedAsync<(byte[] FileHash, long FileSize, string Compression)>(
            "select file_hash, file_size, compression from nix_nar where cache_id = @cacheId", new { cacheId });
        await foreach (var nar in nars.WithCancellation(cancellationToken))
        {
            index.EnterNar(Digest.FromBytes(nar.FileHash), new NarEntry(nar.FileSize, nar.Compression));
        }

        var paths = connection.QueryUnbufferedAsync<(byte[] Hash, byte[] NarInfo, byte[] FileHash)>(
            "select hash, narinfo, file_hash from nix_path where cache_id = @cacheId", new { cacheId });
        await foreach (var path in paths.WithCancellation(cancellationToken))
        {
            index.Enter(new StorePathHash(path.Hash), PathEntry.Of(path.NarInfo, Digest.FromBytes(path.FileHash)));
        }

        return index;
    }
}
