namespace Slipway.Api;

/// <summary>A person who can sign in. <paramref name="Status"/> is <c>active</c> or <c>disabled</c>.</summary>
public sealed record User(string Id, string Name, string Status, bool Superuser, DateTimeOffset CreatedAt);

/// <param name="Name">2 to 39 characters of <c>a-z0-9-</c>, starting with a letter.</param>
/// <param name="Password">12 to 256 characters, any.</param>
public sealed record CreateUserRequest(string Name, string Password, bool Superuser = false);

/// <summary>Fields left null stay as they are. Needs <c>If-Match</c>.</summary>
public sealed record UpdateUserRequest(string? Status = null, bool? Superuser = null);

public sealed record SignInRequest(string Name, string Password);

/// <summary>A fresh session. The <paramref name="Token"/> is shown once and never again.</summary>
public sealed record SignedIn(string Token, Session Session, User User);

public sealed record Session(string Id, DateTimeOffset CreatedAt, DateTimeOffset ExpiresAt, DateTimeOffset? LastUsedAt, string? Client, bool Current);

/// <summary>Who a credential stands for. <paramref name="Via"/> is <c>session</c> or <c>key</c>.</summary>
public sealed record WhoAmI(
    string PrincipalType,
    string PrincipalId,
    string Name,
    bool Superuser,
    string Via,
    string CredentialId,
    DateTimeOffset? ExpiresAt,
    IReadOnlyList<OrgMembership> Orgs,
    IReadOnlyList<string>? Scopes);

public sealed record OrgMembership(string Org, string Role);

public sealed record Org(string Id, string Name, string DisplayName, string? Role, DateTimeOffset CreatedAt);

/// <param name="Name">The slug in URLs: 2 to 39 characters of <c>a-z0-9-</c>, starting with a letter. Can't be changed.</param>
public sealed record CreateOrgRequest(string Name, string? DisplayName = null);

/// <summary>Needs <c>If-Match</c>.</summary>
public sealed record UpdateOrgRequest(string? DisplayName = null);

/// <param name="Role"><c>owner</c>, <c>admin</c>, <c>member</c> or <c>viewer</c>.</param>
public sealed record Member(string User, string UserId, string Role, DateTimeOffset Since);

public sealed record SetMemberRequest(string Role);

/// <summary>A machine principal of an org. Removing it ends its keys.</summary>
public sealed record ServiceAccount(string Id, string Org, string Name, string Role, DateTimeOffset CreatedAt);

public sealed record CreateServiceAccountRequest(string Name, string Role);

/// <summary>
/// A key as lists show it: never the secret. <paramref name="Prefix"/> is its public start, <c>slp_u_</c> and 16 characters.
/// </summary>
/// <param name="Status"><c>active</c>, <c>expired</c> or <c>revoked</c>.</param>
public sealed record Key(
    string Id,
    string Name,
    string Prefix,
    string PrincipalType,
    string Principal,
    IReadOnlyList<string> Scopes,
    string Status,
    DateTimeOffset CreatedAt,
    DateTimeOffset ExpiresAt,
    DateTimeOffset? LastUsedAt,
    DateTimeOffset? RevokedAt);

/// <param name="Scopes">One or more of <c>service:action:pattern</c>; the pattern is literal or ends in one <c>*</c>.</param>
/// <param name="ExpiresInDays">From 1 to the server's <c>keys.maxLifetime</c> (366 days unless configured); its <c>keys.defaultLifetime</c> (90 days) unless given.</param>
public sealed record IssueKeyRequest(string Name, IReadOnlyList<string> Scopes, int? ExpiresInDays = null);

/// <summary>A fresh key. The <paramref name="Secret"/> is shown once and never again.</summary>
public sealed record IssuedKey(string Secret, Key Key);

/// <param name="SigningRequest">PKCS#10 in PEM, signed by its own key: RSA of 2048 to 8192 bits or ECDSA of 256 or more. At most 16,384 characters. Only its public key is used.</param>
public sealed record IssueCertificateRequest(string SigningRequest);

/// <summary>A client certificate: whoever has its private key may act as <paramref name="Key"/> over TLS, until that key ends or is revoked.</summary>
/// <param name="Certificate">PEM.</param>
/// <param name="Authority">The certificate of the authority that issued it, PEM.</param>
/// <param name="ExpiresAt">When the certificate ends: with its key.</param>
public sealed record IssuedCertificate(string Certificate, string Authority, DateTimeOffset ExpiresAt, Key Key);

/// <summary>One entry of the catalogue of scopes.</summary>
public sealed record ScopeDefinition(string Scope, string Summary, string MinimumRole);

public sealed record ChangePasswordRequest(string CurrentPassword, string NewPassword);
