namespace Slipway.Tenancy;

/// <summary>The role of a principal in an org, weakest first, so that they compare.</summary>
public enum OrgRole
{
    Viewer = 1,
    Member = 2,
    Admin = 3,
    Owner = 4,
}

/// <summary>
/// One thing that can be allowed. Features declare theirs as static fields and put them on routes with
/// <c>RequirePermission</c>; the catalogue of scopes is made from those that keys may carry.
/// </summary>
/// <param name="Service">First word of a scope: <c>nix</c>, <c>org</c>, <c>events</c>…</param>
/// <param name="Action">Second word: <c>fetch</c>, <c>push</c>…</param>
/// <param name="MinimumRole">The weakest org role that includes it.</param>
/// <param name="Credential">Which credentials may use it.</param>
/// <param name="Summary">One line for the catalogue and the OpenAPI document.</param>
public sealed record Permission(string Service, string Action, OrgRole MinimumRole, CredentialRule Credential, string Summary)
{
    public string Name => $"{Service}:{Action}";
}

/// <summary>Decision 6 of the design: what a key may do, a session may do; some things need a session.</summary>
public enum CredentialRule
{
    /// <summary>A session, or a key whose scopes include it.</summary>
    KeyOrSession,

    /// <summary>Only a session: issuing and revoking keys, creating and deleting caches, members.</summary>
    SessionOnly,
}
