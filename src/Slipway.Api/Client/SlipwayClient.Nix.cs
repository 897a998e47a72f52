using System.Globalization;
using System.Net.Http.Headers;

namespace Slipway.Api.Client;

/// <content>Stores, caches, paths and push archives.</content>
public sealed partial class SlipwayClient
{
    public IAsyncEnumerable<Store> ListStoresAsync(CancellationToken cancellationToken) =>
        ListAsync(Routes.Stores, null, Json.PageStore, cancellationToken);

    public Task<Store> CreateStoreAsync(CreateStoreRequest request, CancellationToken cancellationToken) =>
        PostAsync(Routes.Stores, request, ApiJson.Default.CreateStoreRequest, Json.Store, cancellationToken);

    public Task<Tagged<Store>> GetStoreAsync(string store, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.Store, store), Json.Store, cancellationToken);

    public IAsyncEnumerable<Cache> ListCachesAsync(string org, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.Caches, org), null, Json.PageCache, cancellationToken);

    public Task<Cache> CreateCacheAsync(string org, CreateCacheRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.Caches, org), request, ApiJson.Default.CreateCacheRequest, Json.Cache, cancellationToken);

    public Task<Tagged<Cache>> GetCacheAsync(string org, string cache, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.Cache, org, cache), Json.Cache, cancellationToken);

    public Task<Cache> UpdateCacheAsync(string org, string cache, UpdateCacheRequest request, string? etag, CancellationToken cancellationToken) =>
        PatchAsync(RouteTemplate.Fill(Routes.Cache, org, cache), request, ApiJson.Default.UpdateCacheRequest, etag, Json.Cache, cancellationToken);

    public Task DeleteCacheAsync(string org, string cache, string? etag, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.Cache, org, cache), etag, cancellationToken);

    public IAsyncEnumerable<SigningKey> ListSigningKeysAsync(string org, string cache, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.SigningKeys, org, cache), null, Json.PageSigningKey, cancellationToken);

    /// <summary>Makes a further signing key; the older ones keep signing until retired.</summary>
    public Task<SigningKey> RotateSigningKeyAsync(string org, string cache, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.SigningKeys, org, cache), Json.SigningKey, cancellationToken);

    public Task RetireSigningKeyAsync(string org, string cache, string name, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.SigningKey, org, cache, name), etag: null, cancellationToken);

    public IAsyncEnumerable<NixPath> ListPathsAsync(string org, string cache, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.Paths, org, cache), null, Json.PageNixPath, cancellationToken);

    public Task<Tagged<NixPath>> GetPathAsync(string org, string cache, string hash, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.Path, org, cache, hash), Json.NixPath, cancellationToken);

    public Task RemovePathAsync(string org, string cache, string hash, string? etag, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.Path, org, cache, hash), etag, cancellationToken);

    public Task<MissingPaths> FindMissingPathsAsync(string org, string cache, MissingPathsRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.MissingPaths, org, cache), request, ApiJson.Default.MissingPathsRequest, Json.MissingPaths, cancellationToken);

    public Task<Archive> CreateArchiveAsync(string org, string cache, CreateArchiveRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.Archives, org, cache), request, ApiJson.Default.CreateArchiveRequest, Json.Archive, cancellationToken);

    /// <summary>Where an archive stands; <paramref name="wait"/> (30 s at most) lets the server hold the answer until it is finished.</summary>
    public Task<Archive> GetArchiveAsync(string org, string cache, string archive, TimeSpan wait, CancellationToken cancellationToken) =>
        GetAsync(
            RouteTemplate.Fill(Routes.Archive, org, cache, archive)
                + (wait > TimeSpan.Zero ? string.Create(CultureInfo.InvariantCulture, $"?wait={(int)wait.TotalSeconds}") : ""),
            Json.Archive,
            cancellationToken);

    /// <summary>
    /// Sends bytes of an archive from <paramref name="offset"/> on: one try. After a failure ask <see cref="CreateArchiveAsync"/> with the
    /// same resume key how far the server came, and go on from there.
    /// </summary>
    /// <param name="write">Writes the bytes to the stream it is given.</param>
    /// <param name="complete">These are the last bytes.</param>
    /// <returns>The archive once it is complete; null while more is to come.</returns>
    public async Task<Archive?> UploadArchiveAsync(
        string org, string cache, string archive, long offset, bool complete, Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Patch, RouteTemplate.Fill(Routes.ArchiveContent, org, cache, archive));
        request.Content = new WrittenContent(write);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue(ArchiveFormat.PartialUploadMediaType);
        request.Headers.TransferEncodingChunked = true;
        request.Headers.ExpectContinue = true;
        request.Headers.TryAddWithoutValidation(ArchiveFormat.UploadOffsetHeader, offset.ToString(CultureInfo.InvariantCulture));
        request.Headers.TryAddWithoutValidation(ArchiveFormat.UploadCompleteHeader, complete ? "?1" : "?0");
        try
        {
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (!response.IsSuccessStatusCode)
            {
                throw await ProblemOfAsync(response, cancellationToken);
            }

            return response.StatusCode == System.Net.HttpStatusCode.NoContent ? null : await ReadAsync(response, Json.Archive, cancellationToken);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw Unreachable(exception);
        }
    }

    /// <summary>A body made while it is sent, so of unknown length.</summary>
    private sealed class WrittenContent(Func<Stream, CancellationToken, Task> write) : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context, CancellationToken cancellationToken) =>
            write(stream, cancellationToken);

        protected override Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context) =>
            write(stream, CancellationToken.None);

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
