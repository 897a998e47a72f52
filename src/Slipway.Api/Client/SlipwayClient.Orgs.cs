using System.Runtime.CompilerServices;
using System.Text.Json.Serialization.Metadata;

namespace Slipway.Api.Client;

/// <content>Orgs, members, service accounts, and the walk over pages.</content>
public sealed partial class SlipwayClient
{
    public IAsyncEnumerable<Org> ListOrgsAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.Orgs, null, Json.PageOrg, cancellationToken);

    public Task<Org> CreateOrgAsync(CreateOrgRequest request, CancellationToken cancellationToken) =>
        PostAsync(Routes.Orgs, request, ApiJson.Default.CreateOrgRequest, Json.Org, cancellationToken);

    public Task<Tagged<Org>> GetOrgAsync(string org, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.Org, org), Json.Org, cancellationToken);

    public Task<Org> UpdateOrgAsync(string org, UpdateOrgRequest request, string? etag, CancellationToken cancellationToken) =>
        PatchAsync(RouteTemplate.Fill(Routes.Org, org), request, ApiJson.Default.UpdateOrgRequest, etag, Json.Org, cancellationToken);

    public IAsyncEnumerable<Member> ListMembersAsync(string org, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.Members, org), null, Json.PageMember, cancellationToken);

    /// <summary>Adds a member, or changes the role of one.</summary>
    public Task<Member> SetMemberAsync(string org, string user, SetMemberRequest request, CancellationToken cancellationToken) =>
        PutAsync(RouteTemplate.Fill(Routes.Member, org, user), request, ApiJson.Default.SetMemberRequest, Json.Member, cancellationToken);

    public Task RemoveMemberAsync(string org, string user, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.Member, org, user), etag: null, cancellationToken);

    public IAsyncEnumerable<ServiceAccount> ListServiceAccountsAsync(string org, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.ServiceAccounts, org), null, Json.PageServiceAccount, cancellationToken);

    public Task<ServiceAccount> CreateServiceAccountAsync(string org, CreateServiceAccountRequest request, CancellationToken cancellationToken) =>
        PostAsync(
            RouteTemplate.Fill(Routes.ServiceAccounts, org), request, ApiJson.Default.CreateServiceAccountRequest, Json.ServiceAccount, cancellationToken);

    public Task RemoveServiceAccountAsync(string org, string account, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.ServiceAccount, org, account), etag: null, cancellationToken);

    /// <summary>All items, page after page. <paramref name="query"/> is <c>name=value&amp;…</c>, escaped.</summary>
    private async IAsyncEnumerable<T> ListAsync<T>(
        string path, string? query, JsonTypeInfo<Page<T>> type, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var first = $"{path}?pageSize=200{(query is null ? "" : "&" + query)}";
        for (var next = first; next is not null;)
        {
            var page = await GetAsync(next, type, cancellationToken);
            foreach (var item in page.Items)
            {
                yield return item;
            }

            next = page.NextPageToken is { } token ? $"{first}&pageToken={Uri.EscapeDataString(token)}" : null;
        }
    }
}
