using System.Buffers;
using System.Security.Cryptography;
using Dapper;
using Slipway.Api;
using Slipway.Content;
using Slipway.Data;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>
/// Compares a store with itself (segments, indexes, files), and one of Nix caches with everything that refers to it, both ways: every blob's
/// bytes with its digest, every row with a blob, every narinfo with its row and its references. Reads only; safe while the server works.
/// </summary>
internal sealed class StoreFsck(Database database)
{
    /// <summary>Findings named per kind; the rest is only counted in <c>Clean</c>.</summary>
    private const int MaxNamed = 100;

    private const int BufferBytes = 1 << 20;

    /// <param name="deep">Reads contents too: of Nix caches every blob is hashed, of others compared with the checksum it was written with.</param>
    public async Task<FsckReport> CheckAsync(OpenedStore opened, bool deep, CancellationToken cancellationToken)
    {
        var isNix = await HasRowAsync(opened.Id, cancellationToken);
        // The hash says more than the checksum, and once is enough.
        var engine = await opened.Segments.CheckAsync(new StoreCheckOptions(deep && !isNix, Quarantine: false, BytesPerSecond: 0), static _ => { }, cancellationToken);
        var report = new FsckReport(opened.Name, deep, engine.Blobs, engine.BytesRead, 0, [], [], 0, [], engine.Faults, engine.Findings, Clean: engine.Faults == 0);
        return isNix ? await CheckNixAsync(opened, report, cancellationToken) : report;
    }

    private async Task<FsckReport> CheckNixAsync(OpenedStore opened, FsckReport engine, CancellationToken cancellationToken)
    {
        // The rows first: a blob that a row of now names was published before. One that is published meanwhile has no row in
        // here and counts as unreferenced, which is no fault.
        var referenced = await ReferencedAsync(opened.Id, cancellationToken);
        var corrupt = new List<string>();
        var found = new HashSet<Digest>();
        long blobs = 0, bytes = 0, unreferenced = 0;
        await foreach (var blob in opened.Store.ListAsync(cancellationToken))
        {
            blobs++;
            found.Add(blob.Digest);
            unreferenced += referenced.Contains(blob.Digest) ? 0 : 1;
            if (engine.Deep)
            {
                bytes += blob.Length;
                if (!await IsSoundAsync(opened.Store, blob.Digest, cancellationToken))
                {
                    corrupt.Add(blob.Digest.ToString());
                }
            }
        }

        // Asked again: it may have been published after the listing had passed its place.
        var missing = await opened.Store.FindMissingAsync([.. referenced.Where(digest => !found.Contains(digest))], cancellationToken);
        var (paths, dangling) = await CheckPathsAsync(opened.Id, cancellationToken);
        return engine with
        {
            BlobsChecked = blobs,
            BytesChecked = bytes,
            PathsChecked = paths,
            CorruptBlobs = [.. corrupt.Take(MaxNamed)],
            MissingBlobs = [.. missing.Take(MaxNamed).Select(digest => digest.ToString())],
            UnreferencedBlobs = unreferenced,
            DanglingReferences = [.. dangling.Take(MaxNamed)],
            Clean = engine.Clean && corrupt.Count == 0 && missing.Count == 0 && dangling.Count == 0,
        };
    }

    private async Task<bool> HasRowAsync(Guid storeId, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<bool>(new CommandDefinition(
            "select exists (select 1 from content_store where id = @storeId)", new { storeId }, cancellationToken: cancellationToken));
    }

    private async Task<HashSet<Digest>> ReferencedAsync(Guid storeId, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = await connection.QueryAsync<byte[]>(new CommandDefinition(
            """
            select n.file_hash from nix_nar n join nix_cache c on c.id = n.cache_id where c.store_id = @storeId
            union
            select l.digest from nix_log l join nix_cache c on c.id = l.cache_id where c.store_id = @storeId
            """,
            new { storeId }, cancellationToken: cancellationToken));
        return [.. rows.Select(row => Digest.FromBytes(row))];
    }

    /// <summary>Each narinfo parses, belongs to its row, names the row's file, and its references are all there.</summary>
    private async Task<(long Paths, List<string> Dangling)> CheckPathsAsync(Guid storeId, CancellationToken cancellationToken)
    {
        long paths = 0;
        var dangling = new List<string>();
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = connection.QueryUnbufferedAsync<(byte[] Hash, byte[] NarInfo, byte[] FileHash, byte[] NarHash, byte[][] References)>(
            """
            select p.hash, p.narinfo, p.file_hash, n.nar_hash,
                (select coalesce(array_agg(r.reference), '{}') from nix_reference r join nix_path t on t.cache_id = r.cache_id and t.hash = r.reference
                 where r.cache_id = p.cache_id and r.hash = p.hash)
            from nix_path p
            join nix_nar n on n.cache_id = p.cache_id and n.file_hash = p.file_hash
            join nix_cache c on c.id = p.cache_id
            where c.store_id = @storeId
            """, new { storeId });
        await foreach (var row in rows.WithCancellation(cancellationToken))
        {
            paths++;
            var hash = new StorePathHash(row.Hash);
            if (!NarInfo.TryParse(row.NarInfo, out var info, out var fault))
            {
                dangling.Add($"{hash}: narinfo malformed: {fault}");
                continue;
            }

            var present = row.References.Select(reference => new StorePathHash(reference)).ToHashSet();
            if (info.StorePath.Hash != hash || info.FileHash?.Digest != Digest.FromBytes(row.FileHash) || info.NarHash.Digest != Digest.FromBytes(row.NarHash))
            {
                dangling.Add($"{info.StorePath.BaseName}: narinfo does not belong to its row");
            }

            dangling.AddRange(info.References
                .Where(reference => !present.Contains(reference.Hash))
                .Select(reference => $"{info.StorePath.BaseName}: reference {reference.BaseName} is not there"));
        }

        return (paths, dangling);
    }

    private static async Task<bool> IsSoundAsync(IContentStore store, Digest digest, CancellationToken cancellationToken)
    {
        await using var reader = await store.OpenAsync(digest, cancellationToken);
        if (reader is null)
        {
            // Deleted since it was listed.
            return true;
        }

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            for (long offset = 0; ;)
            {
                var read = await reader.ReadAsync(buffer, offset, cancellationToken);
                if (read == 0)
                {
                    return Digest.FromBytes(hash.GetHashAndReset()) == digest;
                }

                hash.AppendData(buffer, 0, read);
                offset += read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
