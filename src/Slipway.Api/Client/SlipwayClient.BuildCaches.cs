using System.Globalization;
using System.Net.Http.Headers;

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

    /// <param name="hours">How far to look back, in whole hours.</param>
    public Task<BuildCacheStats> GetBuildCacheStatsAsync(string org, string cache, int hours, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.BuildCacheStats, org, cache) + string.Create(CultureInfo.InvariantCulture, $"?hours={hours}"), Json.BuildCacheStats, cancellationToken);

    /// <summary>The latest first.</summary>
    public IAsyncEnumerable<BuildInvocation> ListBuildInvocationsAsync(string org, string cache, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.BuildInvocations, org, cache), null, Json.PageBuildInvocation, cancellationToken);

    public Task<BuildInvocationDetail> GetBuildInvocationAsync(string org, string cache, string invocation, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.BuildInvocation, org, cache, invocation), Json.BuildInvocationDetail, cancellationToken);

    /// <param name="action"><c>[sha256:|blake3:]hash[/size]</c>.</param>
    /// <param name="sub">A sub-namespace below the cache; empty for the cache itself.</param>
    public Task<ActionExplanation> ExplainBuildActionAsync(string org, string cache, string action, string sub, CancellationToken cancellationToken) =>
        GetAsync(
            RouteTemplate.Fill(Routes.BuildAction, org, cache, action.Replace('/', ':')) + (sub.Length == 0 ? "" : $"?sub={Uri.EscapeDataString(sub)}"),
            Json.ActionExplanation,
            cancellationToken);

    /// <param name="digest"><c>[sha256:|blake3:]hash[/size]</c>.</param>
    public Task<BlobStat> StatBuildBlobAsync(string org, string cache, string digest, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.BuildBlobStat, org, cache, digest.Replace('/', ':')), Json.BlobStat, cancellationToken);

    /// <summary>Downloads a blob in one try. The bytes are not verified here: hash what arrives.</summary>
    /// <param name="receive">Gets the length and the stream of bytes.</param>
    public async Task<T> GetBuildBlobAsync<T>(
        string org, string cache, string digest, Func<long, Stream, CancellationToken, Task<T>> receive, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await http.GetAsync(RouteTemplate.Fill(Routes.BuildBlob, org, cache, digest.Replace('/', ':')), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (!response.IsSuccessStatusCode)
            {
                throw await ProblemOfAsync(response, cancellationToken);
            }

            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            return await receive(response.Content.Headers.ContentLength ?? 0, body, cancellationToken);
        }
        catch (HttpRequestException exception)
        {
            throw Unreachable(exception);
        }
    }

    /// <summary>Uploads a blob in one try; the server checks the digest and waits with "100 Continue" until it knows that it wants the body.</summary>
    public async Task PutBuildBlobAsync(string org, string cache, string digest, Stream content, long length, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, RouteTemplate.Fill(Routes.BuildBlob, org, cache, digest.Replace('/', ':'))) { Content = new StreamContent(content, 128 << 10) };
        request.Content.Headers.ContentLength = length;
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        request.Headers.ExpectContinue = true;
        try
        {
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (!response.IsSuccessStatusCode)
            {
                throw await ProblemOfAsync(response, cancellationToken);
            }
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw Unreachable(exception);
        }
    }

    /// <summary>Every org and its stage; for superusers.</summary>
    public IAsyncEnumerable<BuildStage> ListBuildStagesAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.BuildStages, null, Json.PageBuildStage, cancellationToken);

    public Task<BuildStage> GetBuildStageAsync(string org, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.OrgBuildStage, org), Json.BuildStage, cancellationToken);

    /// <summary>Moves an org to a stage; for superusers.</summary>
    public Task<BuildStage> MoveBuildStageAsync(string org, MoveStageRequest request, CancellationToken cancellationToken) =>
        PutAsync(RouteTemplate.Fill(Routes.OrgBuildStage, org), request, ApiJson.Default.MoveStageRequest, Json.BuildStage, cancellationToken);
}
