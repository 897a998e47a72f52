using Dapper;
using Npgsql;
using Slipway.Content;
using Slipway.Native;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>The rows of verified NAR files.</summary>
internal static class NarRows
{
    /// <param name="keepCandidates">True while the narinfo is still to come: they are what it will be checked against.</param>
    public static Task InsertAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, Guid cacheId, IEnumerable<VerifiedNar> verified, DateTimeOffset now,
        bool keepCandidates, CancellationToken cancellationToken)
    {
        // Paths of other names may have the same contents, and one statement must not meet a row twice.
        var nars = verified.DistinctBy(nar => nar.FileHash).ToList();
        return connection.ExecuteAsync(new CommandDefinition(
            // Uploading a file again makes it young again: the sweep of NARs without a narinfo looks at uploaded_at.
            """
            insert into nix_nar (cache_id, file_hash, file_size, compression, nar_hash, nar_size, listing, candidates, uploaded_at)
            select @cacheId, n.file_hash, n.file_size, n.compression, n.nar_hash, n.nar_size, n.listing, n.candidates, @now
            from unnest(@fileHashes, @fileSizes, @compressions, @narHashes, @narSizes, @listings, @candidates)
                as n (file_hash, file_size, compression, nar_hash, nar_size, listing, candidates)
            on conflict (cache_id, file_hash) do update set uploaded_at = excluded.uploaded_at, candidates = excluded.candidates
            """,
            new
            {
                cacheId,
                fileHashes = nars.Select(nar => nar.FileHash.ToArray()).ToArray(),
                fileSizes = nars.Select(nar => nar.FileSize).ToArray(),
                compressions = nars.Select(nar => NarCompression.NameOf(nar.Compression)).ToArray(),
                narHashes = nars.Select(nar => nar.NarHash.Digest.ToArray()).ToArray(),
                narSizes = nars.Select(nar => nar.NarSize).ToArray(),
                listings = nars.Select(nar => nar.Listing).ToArray(),
                candidates = nars.Select(nar => keepCandidates ? nar.Candidates : null).ToArray(),
                now,
            },
            transaction, cancellationToken: cancellationToken));
    }

    /// <summary>Forgets what the NARs were checked against, now that they were.</summary>
    public static Task ForgetCandidatesAsync(Change change, Guid cacheId, IEnumerable<VerifiedNar> nars, CancellationToken cancellationToken) =>
        change.Connection.ExecuteAsync(new CommandDefinition(
            "update nix_nar set candidates = null where cache_id = @cacheId and file_hash = any(@fileHashes) and candidates is not null",
            new { cacheId, fileHashes = nars.Select(nar => nar.FileHash.ToArray()).ToArray() }, change.Transaction, cancellationToken: cancellationToken));

    /// <summary>The NAR a cache holds under <paramref name="fileHash"/>, without its listing, or null.</summary>
    public static async Task<VerifiedNar?> FindAsync(NpgsqlConnection connection, Guid cacheId, Digest fileHash, CancellationToken cancellationToken)
    {
        var row = await connection.QuerySingleOrDefaultAsync<Row>(new CommandDefinition(
            """
            select file_size as FileSize, compression, nar_hash as NarHash, nar_size as NarSize, candidates
            from nix_nar where cache_id = @cacheId and file_hash = @fileHash
            """,
            new { cacheId, fileHash = fileHash.ToArray() }, cancellationToken: cancellationToken));
        return row is null
            ? null
            : new VerifiedNar(fileHash, row.FileSize, NarFileName.CompressionOf(row.Compression), new NixHash(Digest.FromBytes(row.NarHash)), row.NarSize, [], row.Candidates);
    }

    private sealed class Row
    {
        public long FileSize { get; init; }
        public string Compression { get; init; } = "";
        public byte[] NarHash { get; init; } = [];
        public long NarSize { get; init; }
        public byte[]? Candidates { get; init; }
    }
}

/// <summary>Names of NAR files and of compressions, as narinfos and URLs spell them.</summary>
internal static class NarFileName
{
    public static string Of(Digest fileHash, CompressionFormat compression) => $"nar/{Nix32.Encode(fileHash.AsSpan())}.nar{NarCompression.ExtensionOf(compression)}";

    /// <exception cref="NarRejectedException">A compression this server does not accept.</exception>
    public static CompressionFormat CompressionOf(string name) => NarCompression.TryParse(name, out var format)
        ? format
        : throw NarRejectedException.Because($"Compression '{name}' is not supported: use {NarCompression.Accepted}.");

    /// <summary>Reads <c>{52 nix32}.nar[.zst|.xz|.bz2]</c>.</summary>
    public static bool TryParse(ReadOnlySpan<char> file, out Digest fileHash, out CompressionFormat compression)
    {
        fileHash = default;
        compression = default;
        const int HashCharacters = 52;
        Span<byte> hash = stackalloc byte[Digest.Size];
        if (file.Length < HashCharacters || !Nix32.TryDecode(file[..HashCharacters], hash))
        {
            return false;
        }

        fileHash = Digest.FromBytes(hash);
        var extension = file[HashCharacters..];
        return extension.StartsWith(".nar") && NarCompression.TryParseExtension(extension[4..], out compression);
    }
}
