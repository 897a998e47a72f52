using System.Collections.Concurrent;
using Dapper;
using Slipway.Data;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>A cache's settings at one moment; replaced whole when they change.</summary>
/// <param name="Version">Goes up with every change of the cache or its keys.</param>
internal sealed record CacheSettings(
    Guid Id,
    Guid OrgId,
    string Org,
    string Name,
    Guid StoreId,
    bool Public,
    int Priority,
    bool StrictReferences,
    long Version,
    IReadOnlyList<SigningKeyPair> SigningKeys)
{
    public string FullName => $"{Org}/{Name}";
}

/// <summary>One cache as the server holds it: its settings, and its index, loaded when it is first asked for.</summary>
internal sealed class ServedCache(CacheSettings settings, Database database)
{
    private readonly Lock loading = new();
    private volatile CacheSettings settings = settings;
    private Task<CacheIndex>? index;

    public CacheSettings Settings => settings;

    /// <summary>Takes newer settings; of two readers that end in the wrong order the older one changes nothing.</summary>
    public void Take(CacheSettings newer)
    {
        lock (loading)
        {
            if (newer.Version >= settings.Version)
            {
                settings = newer;
            }
        }
    }

    /// <summary>The index. The first caller's load serves all who wait; a failed load is tried again by the next caller.</summary>
    public Task<CacheIndex> IndexAsync(CancellationToken cancellationToken)
    {
        var index = this.index;
        if (index is { IsCompletedSuccessfully: true })
        {
            return index;
        }

        lock (loading)
        {
            if (this.index is null || this.index.IsFaulted)
            {
                // Not the first caller's token: others wait for the same load.
                this.index = Task.Run(() => CacheIndex.LoadAsync(database, Settings.Id, CancellationToken.None), CancellationToken.None);
            }

            return this.index.WaitAsync(cancellationToken);
        }
    }
}

/// <summary>Every cache by name and by id. The whole list is in memory: an unknown cache costs no query either.</summary>
internal sealed class CacheDirectory(Database database, SecretBox secrets)
{
    private readonly ConcurrentDictionary<string, ServedCache> byName = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Guid, ServedCache> byId = new();

    public ServedCache? Find(ReadOnlySpan<char> fullName) =>
        byName.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(fullName, out var cache) ? cache : null;

    public ServedCache? Find(string org, string cache) => Find($"{org}/{cache}");

    public ServedCache? Find(Guid id) => byId.GetValueOrDefault(id);

    public void Remove(Guid id)
    {
        if (byId.TryRemove(id, out var cache))
        {
            // Only if the name is still its own: one of the same name may have been made since.
            byName.TryRemove(new KeyValuePair<string, ServedCache>(cache.Settings.FullName, cache));
        }
    }

    public async Task LoadAllAsync(CancellationToken cancellationToken)
    {
        foreach (var id in await QueryAsync(
            connection => connection.QueryAsync<Guid>("select id from nix_cache"), cancellationToken))
        {
            await ReloadAsync(id, cancellationToken);
        }
    }

    /// <summary>Reads a cache's settings again after they changed.</summary>
    public async Task ReloadAsync(Guid id, CancellationToken cancellationToken)
    {
        var settings = await LoadAsync(id, cancellationToken);
        if (settings is null)
        {
            Remove(id);
            return;
        }

        var cache = byId.GetOrAdd(id, _ => new ServedCache(settings, database));
        cache.Take(settings);
        byName[settings.FullName] = cache;
    }

    private async Task<CacheSettings?> LoadAsync(Guid id, CancellationToken cancellationToken)
    {
        var row = await QueryAsync(connection => connection.QuerySingleOrDefaultAsync<CacheRow>(
            """
            select c.id, c.org_id as OrgId, o.name as Org, c.name, c.store_id as StoreId, c.public, c.priority, c.reference_check as ReferenceCheck, c.version
            from nix_cache c join org o on o.id = c.org_id
            where c.id = @id
            """, new { id }), cancellationToken);
        if (row is null)
        {
            return null;
        }

        var keys = await QueryAsync(connection => connection.QueryAsync<(string Name, byte[] PublicKey, byte[] Seed)>(
            "select name, public_key, seed from nix_signing_key where cache_id = @id and retired_at is null order by created_at, name", new { id }), cancellationToken);
        return new CacheSettings(
            row.Id, row.OrgId, row.Org, row.Name, row.StoreId, row.Public, row.Priority, row.ReferenceCheck == "strict", row.Version,
            [.. keys.Select(key => SigningKeys.Unseal(secrets, row.Id, key.Name, key.Seed))]);
    }

    private async Task<T> QueryAsync<T>(Func<Npgsql.NpgsqlConnection, Task<T>> query, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await query(connection);
    }

    private sealed class CacheRow
    {
        public Guid Id { get; init; }
        public Guid OrgId { get; init; }
        public string Org { get; init; } = "";
        public string Name { get; init; } = "";
        public Guid StoreId { get; init; }
        public bool Public { get; init; }
        public int Priority { get; init; }
        public string ReferenceCheck { get; init; } = "";
        public long Version { get; init; }
    }
}
