using Slipway.Tenancy;

namespace Slipway.BuildCache;

/// <summary>
/// What can be allowed on build caches. Writing blobs and writing action results are apart: whoever writes a result decides what
/// everybody else's build gets, so that right goes to CI and to few others.
/// </summary>
internal static class BuildCachePermissions
{
    public static readonly Permission Read = new("buildcache", "read", OrgRole.Viewer, CredentialRule.KeyOrSession,
        "Read blobs and action results of a build cache, show it, and see its statistics.");

    public static readonly Permission Write = new("buildcache", "write", OrgRole.Member, CredentialRule.KeyOrSession,
        "Upload blobs to a build cache.");

    public static readonly Permission WriteActions = new("buildcache", "ac-write", OrgRole.Member, CredentialRule.KeyOrSession,
        "Write action results, and what other build tools store under a key, to a build cache.");

    public static readonly Permission Manage = new("buildcache", "manage", OrgRole.Admin, CredentialRule.SessionOnly,
        "Create, change and delete build caches.");

    public static readonly Permission[] All = [Read, Write, WriteActions, Manage];
}
