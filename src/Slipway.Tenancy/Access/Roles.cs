namespace Slipway.Tenancy;

/// <summary>How roles are written on the wire.</summary>
public static class Roles
{
    public static string Name(OrgRole role) => role switch
    {
        OrgRole.Viewer => "viewer",
        OrgRole.Member => "member",
        OrgRole.Admin => "admin",
        OrgRole.Owner => "owner",
        _ => throw new ArgumentOutOfRangeException(nameof(role)),
    };

    public static OrgRole? Read(string name) => name switch
    {
        "viewer" => OrgRole.Viewer,
        "member" => OrgRole.Member,
        "admin" => OrgRole.Admin,
        "owner" => OrgRole.Owner,
        _ => null,
    };
}
