using System.Text.Json.Nodes;
using Dapper;
using Npgsql;
using Slipway.Content;
using Slipway.Data;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>What a client says of a path, next to what its NAR turned out to be.</summary>
internal sealed record PathClaim(NarInfo Claimed, VerifiedNar Nar);

/// <summary>
/// Turns verified NARs and claims about them into paths of a cache: checks every claim, writes our own narinfo, signs it, and
/// makes it visible in one transaction with its event.
/// </summary>
/// <remarks>
/// First writer wins: a path that is there already keeps its NAR; pushing the same NAR again is fine and only adds signatures;
/// pushing another NAR under its name is refused. A path needs all its references in the same cache, which the database also
/// enforces (foreign keys of nix_reference), so that a concurrent removal can't leave a hole.
/// </remarks>
internal sealed class PathPublisher(Changes changes, ContentStores stores, CacheDirectory caches, Database database, TimeProvider time)
{
    /// <summary>Signatures of other keys kept per path. More would only make every fetch slower.</summary>
    private const int MaxForeignSignatures = 16;

    /// <summary>Paths named in one event; a bigger batch says how many more there were.</summary>
    private const int MaxPathsInEvent = 100;

    /// <returns>How many of <paramref name="claims"/> were not in the cache before.</returns>
    /// <exception cref="NarRejectedException">A claim is wrong. Nothing of the batch is visible.</exception>
    public async Task<int> PublishAsync(
        ServedCache cache, IReadOnlyList<PathClaim> claims, ChangeOrigin origin, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await PublishWithCurrentSettingsAsync(cache, claims, origin, cancellationToken);
            }
            catch (SettingsChangedException)
            {
                await caches.ReloadAsync(cache.Settings.Id, cancellationToken);
            }
        }
    }

    private async Task<int> PublishWithCurrentSettingsAsync(
        ServedCache cache, IReadOnlyList<PathClaim> claims, ChangeOrigin origin, CancellationToken cancellationToken)
    {
        var settings = cache.Settings;
        var index = await cache.IndexAsync(cancellationToken);
        var added = new Dictionary<StorePathHash, NewPath>(claims.Count);
        foreach (var claim in claims)
        {
            var hash = claim.Claimed.StorePath.Hash;
            if (index.Find(hash) is { } existing)
            {
                await AddSignaturesAsync(cache, index, existing, claim, origin, cancellationToken);
            }
            else if (!added.ContainsKey(hash))
            {
                added.Add(hash, await CheckAsync(settings, index, added, claim, cancellationToken));
            }
        }

        if (added.Count == 0)
        {
            return 0;
        }

        var removals = index.Removals;
        HashSet<StorePathHash> won;
        try
        {
            won = await changes.CommitAsync(
                origin, (change, token) => InsertAsync(change, settings, [.. added.Values], origin, token), cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            throw NarRejectedException.Conflict("The cache or a reference of this path was removed while it was pushed. Push again.");
        }

        foreach (var hash in won)
        {
            var path = added[hash];
            index.EnterNar(path.Nar.FileHash, new NarEntry(path.Nar.FileSize, path.Info.Compression));
            index.Enter(hash, path.Entry);
        }

        if (index.Removals != removals)
        {
            // A path may have been removed between its commit and its entry here, which would bring it back.
            await index.ReadAgainAsync(database, settings.Id, won, cancellationToken);
        }

        if (won.Count < added.Count)
        {
            // Somebody pushed the same path in between, or a commit of ours went through although its answer was lost: it counts
            // as being there already, if it is the same.
            await index.ReadAgainAsync(database, settings.Id, [.. added.Keys.Except(won)], cancellationToken);
            return won.Count + await PublishWithCurrentSettingsAsync(
                cache, [.. claims.Where(claim => !won.Contains(claim.Claimed.StorePath.Hash))], origin, cancellationToken);
        }

        return won.Count;
    }

    private async Task<NewPath> CheckAsync(
        CacheSettings settings, CacheIndex index, Dictionary<StorePathHash, NewPath> batch, PathClaim claim, CancellationToken cancellationToken)
    {
        var (claimed, nar) = claim;
        if (claimed.NarHash != nar.NarHash)
        {
            throw NarRejectedException.Because($"NarHash is claimed to be {claimed.NarHash}, but the NAR has {nar.NarHash}.");
        }

        if (claimed.NarSize != nar.NarSize)
        {
            throw NarRejectedException.Because($"NarSize is claimed to be {claimed.NarSize}, but the NAR has {nar.NarSize} bytes.");
        }

        var self = claimed.StorePath.Hash;
        var missing = claimed.References
            .Where(reference => reference.Hash != self && !index.Contains(reference.Hash) && !batch.ContainsKey(reference.Hash))
            .Select(reference => reference.FullPath)
            .ToList();
        if (missing.Count > 0)
        {
            throw NarRejectedException.Because(
                $"{claimed.StorePath.FullPath} refers to {missing.Count} path(s) that are not in {settings.FullName}; push them first: "
                + string.Join(", ", missing.Take(10)) + (missing.Count > 10 ? ", …" : ""));
        }

        var store = stores.Get(settings.StoreId);
        await ContentAddressCheck.RequireAsync(claimed, nar, store, cancellationToken);
        var undeclared = await UndeclaredReferences.FindAsync(
            claimed, nar, hash => index.Contains(hash) || batch.ContainsKey(hash), store, cancellationToken);
        // A content-addressed path has its references in its name, so what it leaves out it leaves out on purpose (derivations
        // spell their outputs, text files quote paths). An input-addressed path that spells a path has a dependency that its
        // closure would miss.
        if (settings.StrictReferences && undeclared.Count > 0 && claimed.ContentAddress is null && !claimed.StorePath.IsDerivation)
        {
            throw NarRejectedException.Because(
                $"The bytes of {claimed.StorePath.FullPath} name {string.Join(", ", undeclared.Take(5))}, which References leaves out: the closure would be "
                + $"incomplete. If that is meant (unsafeDiscardReferences), set the cache to record them: slipway cache update {settings.FullName} --reference-check record");
        }

        var info = Render(settings, claimed, nar, Foreign(settings, claimed.Signatures));
        var text = info.Write();
        return new NewPath(info, nar, PathEntry.Of(text, nar.FileHash), undeclared);
    }

    /// <summary>Our own narinfo: only checked facts, our URL, our signatures first.</summary>
    private static NarInfo Render(CacheSettings settings, NarInfo claimed, VerifiedNar nar, IReadOnlyList<NarSignature> foreign) =>
        Signed(settings, claimed with
        {
            Url = NarFileName.Of(nar.FileHash, nar.Compression),
            Compression = NarCompression.NameOf(nar.Compression),
            FileHash = new NixHash(nar.FileHash),
            FileSize = nar.FileSize,
        }, foreign);

    /// <summary><paramref name="info"/> with one signature per active key of the cache, then <paramref name="foreign"/>.</summary>
    public static NarInfo Signed(CacheSettings settings, NarInfo info, IReadOnlyList<NarSignature> foreign)
    {
        var fingerprint = info.Fingerprint();
        return info with { Signatures = [.. settings.SigningKeys.Select(key => key.SignatureOf(fingerprint)), .. foreign] };
    }

    /// <summary>
    /// The signatures of others. One under a name of ours is dropped: only we sign with our keys. They can't be verified
    /// here (we lack their keys) and need not be: clients ignore what does not match.
    /// </summary>
    public static IReadOnlyList<NarSignature> Foreign(CacheSettings settings, IReadOnlyList<NarSignature> signatures) =>
        [.. signatures
            .Where(signature => !SigningKeys.IsNameOf(settings, signature.KeyName))
            .DistinctBy(signature => (signature.KeyName, Convert.ToHexString(signature.Signature)))
            .Take(MaxForeignSignatures)];

    private async Task AddSignaturesAsync(
        ServedCache cache, CacheIndex index, PathEntry existing, PathClaim claim, ChangeOrigin origin, CancellationToken cancellationToken)
    {
        var current = StoredNarInfo.Read(existing.NarInfo);
        var settings = cache.Settings;
        // What signatures cover: the name, the contents and the references.
        if (current.Fingerprint() != claim.Claimed.Fingerprint())
        {
            throw NarRejectedException.Conflict(
                $"{current.StorePath.FullPath} is in {settings.FullName} already, with another name, other contents or other references ({current.NarHash}). The first push of a path "
                + "stays; remove it first to replace it: slipway path rm.");
        }

        if (Foreign(settings, [.. current.Signatures, .. claim.Claimed.Signatures]).Count == Foreign(settings, current.Signatures).Count)
        {
            return;
        }

        var signed = await changes.CommitAsync(origin, async (change, token) =>
        {
            await RequireVersionAsync(change, settings, token);
            var key = new { cacheId = settings.Id, hash = current.StorePath.Hash.ToArray() };
            var text = await change.Connection.QuerySingleOrDefaultAsync<byte[]>(new CommandDefinition(
                "select narinfo from nix_path where cache_id = @cacheId and hash = @hash for update", key, change.Transaction, cancellationToken: token));
            if (text is null)
            {
                return null;
            }

            var stored = StoredNarInfo.Read(text);
            var foreign = Foreign(settings, [.. stored.Signatures, .. claim.Claimed.Signatures]);
            var entry = PathEntry.Of(Signed(settings, stored, foreign).Write(), existing.FileHash);
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "update nix_path set narinfo = @narinfo where cache_id = @cacheId and hash = @hash",
                new { narinfo = entry.NarInfo, key.cacheId, key.hash }, change.Transaction, cancellationToken: token));
            change.Record(settings.OrgId, "nix.path_signed", CacheTargets.Of(settings), new JsonObject
            {
                ["path"] = current.StorePath.FullPath,
                ["keys"] = new JsonArray([.. foreign.Select(signature => JsonValue.Create(signature.KeyName))]),
            });
            return entry;
        }, cancellationToken);
        if (signed is not null)
        {
            index.Replace(current.StorePath.Hash, signed);
        }
    }

    /// <summary>Holds the cache as it is until the commit: its keys don't change and it is not deleted under a push.</summary>
    private static async Task RequireVersionAsync(Change change, CacheSettings settings, CancellationToken cancellationToken)
    {
        var version = await change.Connection.QuerySingleOrDefaultAsync<long?>(new CommandDefinition(
            "select version from nix_cache where id = @Id for share", new { settings.Id }, change.Transaction, cancellationToken: cancellationToken));
        if (version is null)
        {
            throw NarRejectedException.Conflict($"{settings.FullName} was deleted while it was pushed to.");
        }

        if (version != settings.Version)
        {
            throw new SettingsChangedException();
        }
    }

    private async Task<HashSet<StorePathHash>> InsertAsync(
        Change change, CacheSettings settings, IReadOnlyList<NewPath> paths, ChangeOrigin origin, CancellationToken cancellationToken)
    {
        await RequireVersionAsync(change, settings, cancellationToken);
        await NarRows.InsertAsync(change.Connection, change.Transaction, settings.Id, paths.Select(path => path.Nar).Where(nar => !nar.IsStored), time.GetUtcNow(), keepCandidates: false, cancellationToken);
        await NarRows.ForgetCandidatesAsync(change, settings.Id, paths.Select(path => path.Nar).Where(nar => nar.IsStored), cancellationToken);
        var won = await change.Connection.QueryAsync<byte[]>(new CommandDefinition(
            """
            insert into nix_path (cache_id, hash, name, file_hash, narinfo, undeclared, pushed_by, pushed_via, pushed_at)
            select @cacheId, p.hash, p.name, p.file_hash, p.narinfo, string_to_array(p.undeclared, ' '), @pushedBy, @pushedVia, @now
            from unnest(@hashes, @names, @fileHashes, @narinfos, @undeclared) as p (hash, name, file_hash, narinfo, undeclared)
            on conflict do nothing
            returning hash
            """,
            new
            {
                cacheId = settings.Id,
                hashes = paths.Select(path => path.Hash.ToArray()).ToArray(),
                names = paths.Select(path => path.Info.StorePath.Name).ToArray(),
                fileHashes = paths.Select(path => path.Nar.FileHash.ToArray()).ToArray(),
                narinfos = paths.Select(path => path.Entry.NarInfo).ToArray(),
                undeclared = paths.Select(path => string.Join(' ', path.Undeclared)).ToArray(),
                pushedBy = $"{origin.ActorType}:{origin.ActorName}",
                pushedVia = origin.CredentialId ?? origin.Via,
                now = time.GetUtcNow(),
            },
            change.Transaction, cancellationToken: cancellationToken));
        var inserted = won.Select(hash => new StorePathHash(hash)).ToHashSet();
        var added = paths.Where(path => inserted.Contains(path.Hash)).ToList();
        var references = added.SelectMany(path => path.Info.References.Select(reference => (path.Hash, Reference: reference.Hash))).ToList();
        await change.Connection.ExecuteAsync(new CommandDefinition(
            "insert into nix_reference (cache_id, hash, reference) select @cacheId, r.hash, r.reference from unnest(@hashes, @references) as r (hash, reference)",
            new
            {
                cacheId = settings.Id,
                hashes = references.Select(reference => reference.Hash.ToArray()).ToArray(),
                references = references.Select(reference => reference.Reference.ToArray()).ToArray(),
            },
            change.Transaction, cancellationToken: cancellationToken));
        if (added.Count > 0)
        {
            change.Record(settings.OrgId, "nix.paths_pushed", CacheTargets.Of(settings), new JsonObject
            {
                ["count"] = added.Count,
                ["narBytes"] = added.Sum(path => path.Nar.NarSize),
                ["paths"] = new JsonArray([.. added.Take(MaxPathsInEvent).Select(path => JsonValue.Create(path.Info.StorePath.BaseName))]),
            });
        }

        return inserted;
    }

    /// <summary>The settings a path was checked and signed with are not those of the cache any more.</summary>
    private sealed class SettingsChangedException : Exception;

    private sealed record NewPath(NarInfo Info, VerifiedNar Nar, PathEntry Entry, IReadOnlyList<string> Undeclared)
    {
        public StorePathHash Hash => Info.StorePath.Hash;
    }
}
