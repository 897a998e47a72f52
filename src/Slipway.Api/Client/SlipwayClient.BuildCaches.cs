namespace Slipway.Api.Client;

/// <content>Build caches and the stages of orgs.</content>
public sealed partial class SlipwayClient
{
    public IAsyncEnumerable<BuildCache> ListBuildCachesAsync(string org, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.BuildCaches, org), null, Json.PageBuildCache, cancellationToken);

    public Task<BuildCache> CreateBuildCacheAsync(string org, CreateBuildCacheRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.BuildCaches, org), request, ApiJson.Default.CreateBuildCacheRequest, Json.BuildCache, cancellationToken);

    public Task<Tagged<BuildCache>> GetBuildCacheAsync(string org, string cache, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.BuildCache, org, cache), Json.BuildCache, cancellationToken);

    public Task<BuildCache> UpdateBuildCacheAsync(string org, string cache, UpdateBuildCacheRequest request, string? etag, CancellationToken cancellationToken) =>
        PatchAsync(RouteTemplate.Fill(Routes.BuildCache, org, cache), request, ApiJson.Default.UpdateBuildCacheRequest, etag, Json.BuildCache, cancellationToken);

    public Task DeleteBuildCacheAsync(string org, string cache, string? etag, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.BuildCache, org, cache), etag, cancellationToken);

    /// <summary>Every org and its stage; for superusers.</summary>
    public IAsyncEnumerable<BuildStage> ListBuildStagesAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.BuildStages, null, Json.PageBuildStage, cancellationToken);

    public Task<BuildStage> GetBuildStageAsync(string org, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.OrgBuildStage, org), Json.BuildStage, cancellationToken);

    /// <summary>Moves an org to a stage; for superusers.</summary>
    public Task<BuildStage> MoveBuildStageAsync(string org, MoveStageRequest request, CancellationToken cancellationToken) =>
        PutAsync(RouteTemplate.Fill(Routes.OrgBuildStage, org), request, ApiJson.Default.MoveStageRequest, Json.BuildStage, cancellationToken);
}
