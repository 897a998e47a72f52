using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Runtime.CompilerServices;
using Dapper;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.Stages;
using Slipway.Content;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Namespaces;

/// <summary>
/// Every build cache, in memory, and who may do what in it. All protocols of the cache ask here first; the answer costs no query.
/// </summary>
/// <remarks>
/// <code>
/// instance name ─► caller (Authenticator, ≤ 1 s old) ─► access of this caller here (remembered as long as the caller) ─► rights enough?
///                                                              │ not known: org/cache/sub matched with scopes and role
/// </code>
/// What is refused to outsiders is refused in the same words whether or not it exists.
/// </remarks>
internal sealed class BuildCacheDirectory(Database database, Authenticator authenticator, AccessWatch watch, CacheSpaces spaces, BuildCacheOptions options) : ISpaceNames
{
    /// <summary>Accesses remembered for one caller. A client that makes up sub-namespaces only makes itself slower.</summary>
    private const int MostPerCaller = 1000;

    /// <summary>What keys begin with, and no name of an org.</summary>
    private const string KeyPrefix = "slp_";

    /// <summary>A key is 71 characters.</summary>
    private const int LongestKey = 80;

    internal static readonly (BuildCacheRights Right, Permission Permission)[] Permissions =
    [
        (BuildCacheRights.Read, BuildCachePermissions.Read),
        (BuildCacheRights.Write, BuildCachePermissions.Write),
        (BuildCacheRights.WriteActions, BuildCachePermissions.WriteActions),
    ];

    private readonly ConditionalWeakTable<Caller, CallerAccesses> byCaller = [];
    private volatile Snapshot current = new(0, [], FrozenDictionary<Guid, OrgStage>.Empty);

    /// <summary>All caches as they are now.</summary>
    public IReadOnlyCollection<BuildCacheSettings> All => current.ById.Values;

    public BuildCacheSettings? Find(Guid id) => current.ById.GetValueOrDefault(id);

    public string? NameOf(Guid owner) => Find(owner)?.FullName;

    public BuildCacheSettings? Find(string org, string cache) =>
        current.ByName.GetValueOrDefault($"{org}/{cache}");

    /// <summary>The stage of an org.</summary>
    public OrgStage StageOf(Guid orgId) => current.Stages.GetValueOrDefault(orgId, options.DefaultStage);

    /// <summary>
    /// The caller of <paramref name="http"/> in the build cache <paramref name="instanceName"/> (<c>org/cache</c>, with or without a
    /// sub-namespace; empty: the one cache the caller may use).
    /// </summary>
    /// <param name="needed">Rights the caller must have; <see cref="BuildCacheRights.None"/> when any will do.</param>
    /// <exception cref="ApiException">
    /// 401 no or no good credential; 403 a right is missing; 404 no such cache, or not for this caller; 400 the empty name is ambiguous.
    /// Over gRPC: UNAUTHENTICATED, PERMISSION_DENIED (403 and 404: NOT_FOUND would be a cache miss), INVALID_ARGUMENT.
    /// </exception>
    public ValueTask<BuildCacheAccess> FindAsync(HttpContext http, ReadOnlySpan<char> instanceName, BuildCacheRights needed, CancellationToken cancellationToken)
    {
        var caller = authenticator.AuthenticateAsync(http, cancellationToken);
        return caller.IsCompletedSuccessfully
            ? ValueTask.FromResult(Find(caller.Result, instanceName, needed))
            : AwaitedAsync(caller, instanceName.ToString(), needed);
    }

    /// <summary>
    /// The same for a name in UTF-8, as it stands in a message. There a key may stand before the name (<c>slp_…/org/cache</c>), for
    /// clients that send no headers; one in the header comes first. In the paths of HTTP it may not: those end up in the logs of proxies.
    /// </summary>
    public ValueTask<BuildCacheAccess> FindAsync(HttpContext http, ReadOnlySpan<byte> instanceName, BuildCacheRights needed, CancellationToken cancellationToken)
    {
        // A name that is too long or no ASCII is the name of nothing, and must not be told apart from others of nothing.
        Span<char> text = stackalloc char[LongestKey + 1 + InstanceName.LongestName + 1];
        var status = System.Text.Ascii.ToUtf16(instanceName[..Math.Min(instanceName.Length, text.Length)], text, out var length);
        ReadOnlySpan<char> name = status == System.Buffers.OperationStatus.Done ? text[..length] : "?";
        if (!name.StartsWith(KeyPrefix) || http.Request.Headers.Authorization.Count > 0)
        {
            return FindAsync(http, name, needed, cancellationToken);
        }

        var end = name.IndexOf('/');
        var rest = end < 0 ? [] : name[(end + 1)..];
        var caller = authenticator.AuthenticateAsync(end < 0 ? name : name[..end], cancellationToken);
        return caller.IsCompletedSuccessfully
            ? ValueTask.FromResult(Find(caller.Result, rest, needed))
            : AwaitedAsync(caller, rest.ToString(), needed);
    }

    /// <summary>The same for a caller that is known already.</summary>
    public BuildCacheAccess Find(Caller caller, ReadOnlySpan<char> instanceName, BuildCacheRights needed)
    {
        if (caller.Failure is not null)
        {
            throw caller.Decide(BuildCachePermissions.Read, null, null).ToException();
        }

        var snapshot = current;
        var known = byCaller.GetValue(caller, static _ => new CallerAccesses());
        var access = known.Find(snapshot, instanceName) ?? known.Add(snapshot, instanceName, Decide(snapshot, caller, instanceName));
        return (access.Rights & needed) == needed ? access : throw Missing(access, needed);
    }

    /// <summary>Reads everything again if anything changed since the last time; true if so.</summary>
    public async Task<bool> RefreshAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var epoch = await connection.ExecuteScalarAsync<long>(new CommandDefinition("select epoch from build_cache_epoch", cancellationToken: cancellationToken));
        if (epoch == current.Epoch)
        {
            return false;
        }

        // The epoch was read first: a change in between is only read twice.
        var stages = (await connection.QueryAsync<(Guid OrgId, string Stage)>(new CommandDefinition("select org_id, stage from build_stage", cancellationToken: cancellationToken)))
            .ToFrozenDictionary(row => row.OrgId, row => OrgStages.Read(row.Stage) ?? options.DefaultStage);
        var rows = await connection.QueryAsync<BuildCacheRow>(new CommandDefinition(BuildCacheRow.Select, cancellationToken: cancellationToken));
        var snapshot = new Snapshot(epoch, [.. rows.Select(row => row.ToSettings(stages.GetValueOrDefault(row.OrgId, options.DefaultStage)))], stages);

        // Of two readers that end in the wrong order the older one changes nothing.
        for (var before = current; snapshot.Epoch > before.Epoch; before = current)
        {
            if (Interlocked.CompareExchange(ref current, snapshot, before) == before)
            {
                spaces.Bound(snapshot.ById.Values);
                return true;
            }
        }

        return false;
    }

    /// <summary>Ends streams whose right ended.</summary>
    public Task EndRevokedAsync(CancellationToken cancellationToken) =>
        watch.LookAsync(settings => Find(settings.Id), cancellationToken);

    private async ValueTask<BuildCacheAccess> AwaitedAsync(ValueTask<Caller> caller, string instanceName, BuildCacheRights needed) =>
        Find(await caller, instanceName, needed);

    private BuildCacheAccess Decide(Snapshot snapshot, Caller caller, ReadOnlySpan<char> instanceName)
    {
        if (instanceName.IsEmpty)
        {
            return Only(snapshot, caller);
        }

        if (!InstanceName.TryParse(instanceName, out var name))
        {
            throw Unknown(caller, instanceName);
        }

        var cache = snapshot.ByNameSpan.TryGetValue(name.FullName, out var found) ? found : null;
        var org = name.Org.ToString();
        var resource = instanceName[(name.Org.Length + 1)..].ToString();
        var rights = cache is { AnonymousRead: true } ? BuildCacheRights.Read : BuildCacheRights.None;
        AccessDecision? refusal = null;
        foreach (var (right, permission) in Permissions)
        {
            var decision = caller.Decide(permission, org, resource);
            if (decision.IsAllowed)
            {
                rights |= right;
            }
            else
            {
                refusal ??= decision;
            }
        }

        if (rights == BuildCacheRights.None && refusal is { Outcome: not AccessOutcome.NotFound } refused)
        {
            throw refused.ToException();
        }

        return cache is null || rights == BuildCacheRights.None
            ? throw Unknown(caller, instanceName)
            : new BuildCacheAccess(cache, spaces.Of(cache.Id), name.Sub.ToString(), caller, rights, watch);
    }

    /// <summary>The cache meant by a client that names none.</summary>
    private BuildCacheAccess Only(Snapshot snapshot, Caller caller)
    {
        if (caller.IsAnonymous)
        {
            throw caller.Decide(BuildCachePermissions.Read, null, null).ToException();
        }

        List<BuildCacheAccess> usable = [];
        foreach (var cache in snapshot.ById.Values)
        {
            // By membership first: the list is the server's, not the org's.
            if (caller.OrgId(cache.Org) == cache.OrgId && Permissions.Aggregate(
                BuildCacheRights.None, (rights, one) => caller.Decide(one.Permission, cache.Org, cache.Name).IsAllowed ? rights | one.Right : rights) is not BuildCacheRights.None and var rights)
            {
                usable.Add(new BuildCacheAccess(cache, spaces.Of(cache.Id), "", caller, rights, watch));
            }
        }

        return usable.Count switch
        {
            1 => usable[0],
            0 => throw new ApiException(404, ProblemCodes.NotFound, "The request names no build cache, and there is none you may use.", "Create one: slipway buildcache create ORG/NAME."),
            _ => throw new ApiException(
                400, ProblemCodes.InvalidRequest, "The request names no build cache, and you may use several.",
                $"Name one as instance name, such as --remote_instance_name={usable.Select(one => one.Name).Order(StringComparer.Ordinal).First()}."),
        };
    }

    private static ApiException Missing(BuildCacheAccess access, BuildCacheRights needed)
    {
        foreach (var (right, permission) in Permissions)
        {
            if ((needed & ~access.Rights & right) != 0)
            {
                var resource = access.Sub.Length == 0 ? access.Cache.Name : $"{access.Cache.Name}/{access.Sub}";
                var decision = access.Caller.Decide(permission, access.Cache.Org, resource);
                // An outsider reading what everybody may read: that the cache is there is no secret.
                return decision.Outcome == AccessOutcome.NotFound
                    ? new ApiException(403, ProblemCodes.Forbidden, $"You are not a member of the org of build cache {access.Cache.FullName}.")
                    : decision.ToException();
            }
        }

        throw new InvalidOperationException("No right is missing.");
    }

    // Whether there is no such org, no such cache in it, or both and the caller may not know: one sentence.
    private static ApiException Unknown(Caller caller, ReadOnlySpan<char> instanceName) => caller.IsAnonymous
        ? caller.Decide(BuildCachePermissions.Read, null, null).ToException()
        : new ApiException(
            404, ProblemCodes.NotFound, $"There is no build cache {instanceName} here, or you may not use it.",
            "Instance names are ORG/CACHE; slipway buildcache list shows yours.");

    /// <summary>All caches at one epoch.</summary>
    private sealed class Snapshot
    {
        public Snapshot(long epoch, IReadOnlyList<BuildCacheSettings> caches, FrozenDictionary<Guid, OrgStage> stages)
        {
            Epoch = epoch;
            ById = caches.ToFrozenDictionary(cache => cache.Id);
            ByName = caches.ToFrozenDictionary(cache => cache.FullName, StringComparer.Ordinal);
            ByNameSpan = ByName.GetAlternateLookup<ReadOnlySpan<char>>();
            Stages = stages;
        }

        public long Epoch { get; }

        public FrozenDictionary<Guid, BuildCacheSettings> ById { get; }

        public FrozenDictionary<string, BuildCacheSettings> ByName { get; }

        public FrozenDictionary<string, BuildCacheSettings>.AlternateLookup<ReadOnlySpan<char>> ByNameSpan { get; }

        public FrozenDictionary<Guid, OrgStage> Stages { get; }
    }

    /// <summary>What one caller may do where, as far as it asked. Lives as long as the caller does in the authenticator: a second.</summary>
    private sealed class CallerAccesses
    {
        // With the snapshot it was decided on: what anybody may read is decided for "nobody", who lives as long as the server.
        private readonly ConcurrentDictionary<string, (Snapshot On, BuildCacheAccess Access)> byName = new(StringComparer.Ordinal);

        public BuildCacheAccess? Find(Snapshot snapshot, ReadOnlySpan<char> instanceName) =>
            byName.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(instanceName, out var known) && ReferenceEquals(known.On, snapshot) ? known.Access : null;

        public BuildCacheAccess Add(Snapshot snapshot, ReadOnlySpan<char> instanceName, BuildCacheAccess access)
        {
            if (byName.Count >= MostPerCaller)
            {
                byName.Clear();
            }

            byName[instanceName.ToString()] = (snapshot, access);
            return access;
        }
    }
}
