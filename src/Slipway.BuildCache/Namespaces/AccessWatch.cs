using Microsoft.Extensions.Logging;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Namespaces;

/// <summary>
/// Ends streams whose right ended. Looks at every access that a stream waits on: at once when this server changed an identity, and twice
/// a second for what others changed, with what the database says within <see cref="Freshness"/>. So a revoked key goes on for 750 ms
/// and the look itself (one query for each key in use) at most.
/// </summary>
internal sealed partial class AccessWatch(Authenticator authenticator, ILogger<AccessWatch> logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);

    /// <summary>Together with the interval it has to stay well below a second. Short enough, too, that a key is asked for once in a look.</summary>
    private static readonly TimeSpan Freshness = TimeSpan.FromMilliseconds(250);

    private readonly Lock gate = new();

    // One look at a time: whoever waits for one (a cache is deleted) must not come back while another still has the list.
    private readonly SemaphoreSlim looking = new(1);

    // Weak: a stream that is over drops its access and thereby leaves this list.
    private readonly List<WeakReference<BuildCacheAccess>> watched = [];

    /// <summary>The accesses that streams wait on.</summary>
    public IReadOnlyList<BuildCacheAccess> Watched
    {
        get
        {
            lock (gate)
            {
                return [.. watched.Select(reference => reference.TryGetTarget(out var access) ? access : null).OfType<BuildCacheAccess>()];
            }
        }
    }

    public void Add(BuildCacheAccess access)
    {
        lock (gate)
        {
            watched.Add(new WeakReference<BuildCacheAccess>(access));
        }
    }

    /// <param name="now">The cache of an access as it is now; null when it is gone.</param>
    /// <remarks>When the database is away, nobody's right is known to have ended: all that was not decided is kept for the next look.</remarks>
    public async Task LookAsync(Func<BuildCacheSettings, BuildCacheSettings?> now, CancellationToken cancellationToken)
    {
        await looking.WaitAsync(cancellationToken);
        try
        {
            await LookOnceAsync(now, cancellationToken);
        }
        finally
        {
            looking.Release();
        }
    }

    private async Task LookOnceAsync(Func<BuildCacheSettings, BuildCacheSettings?> now, CancellationToken cancellationToken)
    {
        WeakReference<BuildCacheAccess>[] round;
        lock (gate)
        {
            round = [.. watched];
        }

        HashSet<WeakReference<BuildCacheAccess>> over = [];
        try
        {
            foreach (var reference in round)
            {
                if (!reference.TryGetTarget(out var access))
                {
                    over.Add(reference);
                }
                else if (now(access.Cache) is not { } cache || !await MayStillAsync(access, cache, cancellationToken))
                {
                    Log.Ended(logger, access.Caller.Name, access.Name);
                    access.End();
                    over.Add(reference);
                }
            }
        }
        finally
        {
            lock (gate)
            {
                watched.RemoveAll(over.Contains);
            }
        }
    }

    private async ValueTask<bool> MayStillAsync(BuildCacheAccess access, BuildCacheSettings cache, CancellationToken cancellationToken)
    {
        // Which of its rights a call used is not known here, so all it had have to be there still.
        var resource = access.Sub.Length == 0 ? cache.Name : $"{cache.Name}/{access.Sub}";
        foreach (var (right, permission) in BuildCacheDirectory.Permissions)
        {
            if ((access.Rights & right) != 0 && !(right == BuildCacheRights.Read && cache.AnonymousRead)
                && (access.Caller.IsAnonymous || !(await authenticator.DecideAgainAsync(access.Caller, permission, cache.Org, resource, Freshness, cancellationToken)).IsAllowed))
            {
                return false;
            }
        }

        return true;
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "The right of {Caller} in build cache {Cache} ended; its streams are cut.")]
        public static partial void Ended(ILogger logger, string caller, string cache);
    }
}
