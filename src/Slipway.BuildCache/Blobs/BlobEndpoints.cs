using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.BuildCache.Http;
using Slipway.BuildCache.Insight;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Blobs;

/// <summary>Single blobs for people and scripts. They belong to the cache, so a sub-namespace has no say here.</summary>
internal sealed class BlobEndpoints(BuildCacheDirectory caches, BazelHttp transfers)
{
    private const string Tag = "Build caches";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.BuildBlob, (string org, string cache, string digest, BlobEndpoints e, HttpContext http) => e.GetAsync(org, cache, digest, http))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("getBuildBlob").WithTags(Tag).WithSummary("Download a blob of a build cache.").Produces(StatusCodes.Status200OK, contentType: "application/octet-stream");
        endpoints.MapPut(Routes.BuildBlob, (string org, string cache, string digest, BlobEndpoints e, HttpContext http) => e.PutAsync(org, cache, digest, http))
            .RequirePermission(BuildCachePermissions.Write, "cache").WithName("putBuildBlob").WithTags(Tag).WithSummary("Upload a blob to a build cache; its bytes must hash to the digest in the path.").Produces(StatusCodes.Status200OK);
        endpoints.MapGet(Routes.BuildBlobStat, (string org, string cache, string digest, BlobEndpoints e, HttpContext http) => e.Stat(org, cache, digest, http))
            .RequirePermission(BuildCachePermissions.Read, "cache").WithName("statBuildBlob").WithTags(Tag).WithSummary("Show how long a blob is, how it is kept and when it was last used.").Produces<BlobStat>();
    }

    private Task GetAsync(string org, string cache, string digest, HttpContext http)
    {
        var access = caches.Find(http.GetCaller(), $"{org}/{cache}", BuildCacheRights.Read);
        return TransferAsync(http, access, Find(access, digest).Key);
    }

    private Task PutAsync(string org, string cache, string digest, HttpContext http)
    {
        var access = caches.Find(http.GetCaller(), $"{org}/{cache}", BuildCacheRights.Write);
        var key = ActionQuestion.Parse(digest);
        if (key.Size >= 0 && http.Request.ContentLength is { } length && length != key.Size)
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, $"The body has {length} bytes where the digest says {key.Size}.");
        }

        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            // The cache's own limit holds; the server's is for JSON.
            size.MaxRequestBodySize = null;
        }

        return TransferAsync(http, access, key.Key);
    }

    private async Task TransferAsync(HttpContext http, BuildCacheAccess access, BlobKey key)
    {
        try
        {
            await transfers.TransferAsync(http, access, key);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            throw HttpBodies.Ended();
        }
    }

    private IResult Stat(string org, string cache, string digest, HttpContext http)
    {
        var access = caches.Find(http.GetCaller(), $"{org}/{cache}", BuildCacheRights.Read);
        var blob = Find(access, digest);
        var name = string.Create(CultureInfo.InvariantCulture, $"{(blob.Key.Kind == BlobKind.Blake3 ? "blake3" : "sha256")}:{blob.Key.Hash}");
        return !access.Space.TryFind(blob.Key, out var info)
            ? TypedResults.Ok(new BlobStat(name, 0, 0, "none", access.Space.LastLossAt))
            : TypedResults.Ok(new BlobStat(name, info.Length, info.IsLarge ? null : info.StoredLength, info.Codec == BlobCodec.Zstd ? "zstd" : "none", info.LastUsed));
    }

    // Without renewing its last use: to look is not to need.
    private static BlobDigest Find(BuildCacheAccess access, string text)
    {
        var digest = ActionQuestion.Parse(text);
        return new BlobDigest(digest.Key, 0).IsEmptyBlob || (access.Space.TryFind(digest.Key, out var info) && (digest.Size < 0 || digest.Size == info.Length))
            ? digest
            : throw new ApiException(404, ProblemCodes.NotFound, $"There is no blob {text} in {access.Cache.FullName}.", "It was never uploaded there, or nobody used it while the cache needed room.");
    }
}
