using Microsoft.Extensions.Logging;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Namespaces;

/// <summary>
/// Ends streams whose right ended: looks twice a second at every access that a stream waits on. Half a second here and the second
/// that another server's word may take are the longest a revoked key goes on.
/// </summary>
internal sealed partial class AccessWatch(Authenticator authenticator, ILogger<AccessWatch> logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);

    private readonly Lock gate = new();

    // Weak: a stream that is over drops its access and thereby leaves this list.
    private List<WeakReference<BuildCacheAccess>> watched = [];

    public int Count
    {
        get
        {
            lock (gate)
            {
                return watched.Count;
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

    /// <param name="isCurrent">Whether the cache of an access is still there, with the same rights for everybody.</param>
    public async Task LookAsync(Func<BuildCacheSettings, bool> isCurrent, CancellationToken cancellationToken)
    {
        List<WeakReference<BuildCacheAccess>> round;
        lock (gate)
        {
            (round, watched) = (watched, []);
        }

        List<WeakReference<BuildCacheAccess>> kept = [];
        foreach (var reference in round)
        {
            if (!reference.TryGetTarget(out var access))
            {
                continue;
            }

            if (isCurrent(access.Cache) && await MayStillAsync(access, cancellationToken))
            {
                kept.Add(reference);
            }
            else
            {
                Log.Ended(logger, access.Caller.Name, access.Name);
                access.End();
            }
        }

        lock (gate)
        {
            watched.AddRange(kept);
        }
    }

    private async ValueTask<bool> MayStillAsync(BuildCacheAccess access, CancellationToken cancellationToken)
    {
        if (access.Caller.IsAnonymous)
        {
            return access.Cache.AnonymousRead;
        }

        // Only what a key or session may do at all can end while it is in use; which of the rights a call used is not known here.
        var resource = access.Sub.Length == 0 ? access.Cache.Name : $"{access.Cache.Name}/{access.Sub}";
        foreach (var (right, permission) in BuildCacheDirectory.Permissions)
        {
            if ((access.Rights & right) != 0 && !(right == BuildCacheRights.Read && access.Cache.AnonymousRead)
                && !(await authenticator.DecideAgainAsync(access.Caller, permission, access.Cache.Org, resource, cancellationToken)).IsAllowed)
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
