namespace Slipway.Tenancy;

/// <summary>The permissions of identity itself.</summary>
internal static class TenancyPermissions
{
    public static readonly Permission ReadOrg = new("org", "read", OrgRole.Viewer, CredentialRule.KeyOrSession, "See an org, its members and its service accounts.");
    public static readonly Permission UpdateOrg = new("org", "update", OrgRole.Admin, CredentialRule.SessionOnly, "Change an org's settings.");
    public static readonly Permission ManageMembers = new("org", "members", OrgRole.Admin, CredentialRule.SessionOnly, "Add and remove members and change their roles.");
    public static readonly Permission ManageServiceAccounts = new("org", "service-accounts", OrgRole.Admin, CredentialRule.SessionOnly, "Create and remove service accounts, and issue and revoke their keys.");
    public static readonly Permission ReadEvents = new("events", "read", OrgRole.Member, CredentialRule.KeyOrSession, "Read an org's event log and check its chain.");

    public static IReadOnlyList<Permission> All => [ReadOrg, UpdateOrg, ManageMembers, ManageServiceAccounts, ReadEvents];
}
