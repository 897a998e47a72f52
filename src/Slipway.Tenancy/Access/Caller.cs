using Microsoft.AspNetCore.Http;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// Who makes a request, with everything needed to decide about it: a snapshot, at most a second old. Effective rights are the
/// principal's current rights ∩ the key's scopes.
/// </summary>
public sealed class Caller
{
    private readonly IReadOnlyDictionary<string, (Guid Id, OrgRole Role)> orgs;
    private readonly IReadOnlyList<Scope>? scopes;

    internal Caller(
        string? principalType,
        Guid principalId,
        string name,
        bool superuser,
        TokenKind? kind,
        Guid credentialGuid,
        string? tokenId,
        DateTimeOffset? expiresAt,
        IReadOnlyDictionary<string, (Guid Id, OrgRole Role)> orgs,
        IReadOnlyList<Scope>? scopes,
        string? failure,
        string? failureReason)
    {
        PrincipalType = principalType;
        PrincipalId = principalId;
        Name = name;
        IsSuperuser = superuser;
        Kind = kind;
        CredentialGuid = credentialGuid;
        TokenId = tokenId;
        ExpiresAt = expiresAt;
        this.orgs = orgs;
        this.scopes = scopes;
        Failure = failure;
        FailureReason = failureReason;
    }

    /// <summary>A request without a credential.</summary>
    public static Caller Anonymous { get; } = Nobody(null, null);

    public bool IsAnonymous => PrincipalType is null;

    /// <summary>Why the credential sent is no good (one of <see cref="ProblemCodes"/>), null when there was none or it is good.</summary>
    public string? Failure { get; }

    public string? FailureReason { get; }

    /// <summary><c>user</c> or <c>service_account</c>; null for nobody.</summary>
    public string? PrincipalType { get; }

    public Guid PrincipalId { get; }

    public string Name { get; }

    public bool IsSession => Kind == TokenKind.Session;

    /// <summary>The shown id of the session or key.</summary>
    public string? CredentialId => Kind switch
    {
        null => null,
        TokenKind.Session => Ids.Session(CredentialGuid),
        _ => Ids.Key(CredentialGuid),
    };

    public bool IsSuperuser { get; }

    public DateTimeOffset? ExpiresAt { get; }

    internal TokenKind? Kind { get; }

    internal Guid CredentialGuid { get; }

    /// <summary>The public 16 characters of the token.</summary>
    internal string? TokenId { get; }

    internal IEnumerable<(string Slug, Guid Id, OrgRole Role)> Orgs => orgs.Select(pair => (pair.Key, pair.Value.Id, pair.Value.Role));

    /// <summary>Null for a session, which has no scopes to narrow it.</summary>
    internal IReadOnlyList<Scope>? Scopes => scopes;

    /// <summary>The org of that slug, when this caller has a role in it.</summary>
    public Guid? OrgId(string slug) => orgs.TryGetValue(slug, out var org) ? org.Id : null;

    public OrgRole? RoleIn(string slug) => orgs.TryGetValue(slug, out var org) ? org.Role : null;

    public ChangeOrigin Origin(HttpContext http) => new(
        PrincipalType ?? "anonymous",
        PrincipalId,
        Name,
        Kind is null ? "none" : IsSession ? "session" : "key",
        CredentialId,
        http.TraceIdentifier,
        NetworkAddress.Of(http));

    /// <summary>
    /// May this caller use <paramref name="permission"/>? Pure. A key's scope pattern is matched on <c>org/resource</c>, or on
    /// <c>org</c> alone when there is no resource.
    /// </summary>
    /// <param name="org">Slug of the org; null for things of the whole server, which are a superuser's.</param>
    public AccessDecision Decide(Permission permission, string? org, string? resource)
    {
        if (IsAnonymous)
        {
            return SignInRequired();
        }

        OrgRole? role = null;
        if (org is null ? !IsSuperuser : (role = RoleIn(org)) is null)
        {
            return org is null
                ? new AccessDecision(AccessOutcome.Forbidden, ProblemCodes.Forbidden, $"{permission.Name} on the whole server is for superusers.")
                : new AccessDecision(AccessOutcome.NotFound, ProblemCodes.NotFound, $"There is no org {org} here, or you may not see it.");
        }

        if (permission.Credential == CredentialRule.SessionOnly && !IsSession)
        {
            return SessionRequired(permission.Name);
        }

        if (org is not null && role < permission.MinimumRole)
        {
            return new AccessDecision(
                AccessOutcome.Forbidden,
                ProblemCodes.Forbidden,
                $"{permission.Name} needs the role {Roles.Name(permission.MinimumRole)} in {org}, and {Name} is {Roles.Name(role!.Value)}.");
        }

        if (scopes is null)
        {
            return AccessDecision.Allowed;
        }

        var target = (org, resource) switch
        {
            (null, null) => "server",
            (null, _) => resource,
            (_, null) => org,
            _ => $"{org}/{resource}",
        };
        foreach (var scope in scopes)
        {
            if (scope.Grants(permission, target))
            {
                return AccessDecision.Allowed;
            }
        }

        return new AccessDecision(AccessOutcome.Forbidden, ProblemCodes.ScopeMissing, $"This key lacks the scope {permission.Name}:{target}.");
    }

    internal static Caller Nobody(string? failure, string? reason) => new(
        null, Guid.Empty, "", false, null, Guid.Empty, null, null, new Dictionary<string, (Guid, OrgRole)>(), null, failure, reason);

    internal AccessDecision SignInRequired() => Failure is null
        ? new AccessDecision(AccessOutcome.SignInRequired, ProblemCodes.SignInRequired, "This needs a session or a key.")
        : new AccessDecision(AccessOutcome.SignInRequired, Failure, FailureReason ?? "The credential is not valid.");

    internal static AccessDecision SessionRequired(string what) => new(
        AccessOutcome.Forbidden,
        ProblemCodes.SessionRequired,
        $"{what} needs a session: keys may not do this. Sign in with `slipway login`.");
}
