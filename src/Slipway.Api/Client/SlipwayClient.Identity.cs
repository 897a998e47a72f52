namespace Slipway.Api.Client;

/// <content>Sessions, users, keys.</content>
public sealed partial class SlipwayClient
{
    public Task<SignedIn> SignInAsync(SignInRequest request, CancellationToken cancellationToken) =>
        PostAsync(Routes.Sessions, request, ApiJson.Default.SignInRequest, Json.SignedIn, cancellationToken);

    public Task SignOutAsync(CancellationToken cancellationToken) => DeleteAsync(Routes.CurrentSession, etag: null, cancellationToken);

    public Task<WhoAmI> WhoAmIAsync(CancellationToken cancellationToken) => GetAsync(Routes.WhoAmI, Json.WhoAmI, cancellationToken);

    public Task ChangePasswordAsync(ChangePasswordRequest request, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Put, Routes.Password) { Body = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.ChangePasswordRequest) },
            static (_, _) => Task.FromResult(true),
            cancellationToken);

    public IAsyncEnumerable<Session> ListSessionsAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.Sessions, null, Json.PageSession, cancellationToken);

    public Task RevokeSessionAsync(string session, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.Session, session), etag: null, cancellationToken);

    public IAsyncEnumerable<User> ListUsersAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.Users, null, Json.PageUser, cancellationToken);

    public Task<User> CreateUserAsync(CreateUserRequest request, CancellationToken cancellationToken) =>
        PostAsync(Routes.Users, request, ApiJson.Default.CreateUserRequest, Json.User, cancellationToken);

    public Task<Tagged<User>> GetUserAsync(string user, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.User, user), Json.User, cancellationToken);

    public Task<User> UpdateUserAsync(string user, UpdateUserRequest request, string? etag, CancellationToken cancellationToken) =>
        PatchAsync(RouteTemplate.Fill(Routes.User, user), request, ApiJson.Default.UpdateUserRequest, etag, Json.User, cancellationToken);

    public Task<Page<ScopeDefinition>> ListScopesAsync(CancellationToken cancellationToken) =>
        GetAsync(Routes.Scopes, Json.PageScopeDefinition, cancellationToken);

    /// <summary>The caller's own keys.</summary>
    public IAsyncEnumerable<Key> ListKeysAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.Keys, null, Json.PageKey, cancellationToken);

    public Task<IssuedKey> IssueKeyAsync(IssueKeyRequest request, CancellationToken cancellationToken) =>
        PostAsync(Routes.Keys, request, ApiJson.Default.IssueKeyRequest, Json.IssuedKey, cancellationToken);

    public Task RevokeKeyAsync(string key, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.Key, key), etag: null, cancellationToken);

    public Task<IssuedCertificate> IssueCertificateAsync(string key, IssueCertificateRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.KeyCertificate, key), request, ApiJson.Default.IssueCertificateRequest, Json.IssuedCertificate, cancellationToken);

    public Task<IssuedCertificate> IssueServiceAccountCertificateAsync(string org, string account, string key, IssueCertificateRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.ServiceAccountKeyCertificate, org, account, key), request, ApiJson.Default.IssueCertificateRequest, Json.IssuedCertificate, cancellationToken);

    public IAsyncEnumerable<Key> ListServiceAccountKeysAsync(string org, string account, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.ServiceAccountKeys, org, account), null, Json.PageKey, cancellationToken);

    public Task<IssuedKey> IssueServiceAccountKeyAsync(string org, string account, IssueKeyRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.ServiceAccountKeys, org, account), request, ApiJson.Default.IssueKeyRequest, Json.IssuedKey, cancellationToken);

    public Task RevokeServiceAccountKeyAsync(string org, string account, string key, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.ServiceAccountKey, org, account, key), etag: null, cancellationToken);
}
