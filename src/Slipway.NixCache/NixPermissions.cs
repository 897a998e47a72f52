using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>What can be allowed on Nix caches. What a key may carry is what a build machine needs; managing caches takes a person.</summary>
internal static class NixPermissions
{
    public static readonly Permission Fetch = new("nix", "fetch", OrgRole.Viewer, CredentialRule.KeyOrSession,
        "Fetch narinfos, NARs, listings and build logs from a cache.");

    public static readonly Permission Query = new("nix", "query", OrgRole.Viewer, CredentialRule.KeyOrSession,
        "List caches and paths, show them, and ask which paths are missing.");

    public static readonly Permission Push = new("nix", "push", OrgRole.Member, CredentialRule.KeyOrSession,
        "Push paths, build logs and realisations to a cache.");

    public static readonly Permission Delete = new("nix", "delete", OrgRole.Admin, CredentialRule.KeyOrSession,
        "Remove paths from a cache.");

    public static readonly Permission Manage = new("nix", "manage", OrgRole.Admin, CredentialRule.SessionOnly,
        "Create, change and delete caches, and rotate their signing keys.");

    public static readonly Permission[] All = [Fetch, Query, Push, Delete, Manage];
}
