using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>ccache, Nx, Gradle and Go: GET, HEAD and PUT of one object per key, each with its own rules.</summary>
internal sealed class KeyedHttp(KeyedObjects objects)
{
    /// <summary>The output id of a Go action, 64 hex digits: the SHA-256 of the bytes.</summary>
    public const string GoOutput = "X-Go-Output-Id";

    private const string NxPath = "v1/cache/";

    public Task HandleAsync(HttpContext http, BuildCacheAccess access, HttpTool tool, string key) => tool switch
    {
        HttpTool.Ccache => CcacheAsync(http, access, key),
        HttpTool.Nx => NxAsync(http, access, key),
        HttpTool.Gradle => GradleAsync(http, access, key),
        _ => GoAsync(http, access, key),
    };

    /// <summary>ccache's HTTP storage: any path is a key, so all three layouts work; it also removes.</summary>
    private async Task CcacheAsync(HttpContext http, BuildCacheAccess access, string key)
    {
        var place = KeyedObjects.KeyOf(access, "ccache", Named(key));
        switch (http.Request.Method)
        {
            case "GET" or "HEAD":
                await SendAsync(http, access, place, "application/octet-stream");
                break;
            case "PUT":
                await objects.PutAsync(http, access, place, []);
                http.Response.StatusCode = StatusCodes.Status201Created;
                break;
            case "DELETE":
                await HttpText.RemoveAsync(http, access, place);
                break;
            default:
                throw HttpText.MethodNotAllowed(http, "GET, HEAD, PUT, DELETE");
        }
    }

    /// <summary>Nx's self-hosted cache: what is stored is never overwritten (409), a key that may only read is 403.</summary>
    private async Task NxAsync(HttpContext http, BuildCacheAccess access, string key)
    {
        var hash = key.StartsWith(NxPath, StringComparison.Ordinal) ? key[NxPath.Length..] : "";
        if (hash.Length == 0 || hash.Contains('/', StringComparison.Ordinal))
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, "Nx artifacts are at v1/cache/{hash}.", $"Set NX_SELF_HOSTED_REMOTE_CACHE_SERVER to the URL that ends in {access.Name}/nx.");
        }

        var place = KeyedObjects.KeyOf(access, "nx", hash);
        switch (http.Request.Method)
        {
            case "GET" or "HEAD":
                await SendAsync(http, access, place, "application/octet-stream");
                break;
            case "PUT" when access.Space.TryFind(place, out _):
                await HttpText.AnswerAsync(http, StatusCodes.Status409Conflict, "There is an artifact with this hash already.");
                break;
            case "PUT":
                await objects.PutAsync(http, access, place, []);
                break;
            default:
                throw HttpText.MethodNotAllowed(http, "GET, PUT");
        }
    }

    /// <summary>Gradle's HTTP build cache: 413 tells it to go on without storing this entry.</summary>
    private async Task GradleAsync(HttpContext http, BuildCacheAccess access, string key)
    {
        var place = KeyedObjects.KeyOf(access, "gradle", Named(key));
        switch (http.Request.Method)
        {
            case "GET" or "HEAD":
                await SendAsync(http, access, place, "application/vnd.gradle.build-cache-artifact.v1");
                break;
            case "PUT":
                await objects.PutAsync(http, access, place, []);
                http.Response.StatusCode = StatusCodes.Status201Created;
                break;
            default:
                throw HttpText.MethodNotAllowed(http, "GET, HEAD, PUT");
        }
    }

    /// <summary>Outputs of Go's actions, for <c>slipway gocacheprog</c>.</summary>
    private async Task GoAsync(HttpContext http, BuildCacheAccess access, string key)
    {
        if (!Digest.TryParse(key, out _))
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, "A Go action id has 64 hex digits.");
        }

        var place = KeyedObjects.KeyOf(access, "go", key);
        switch (http.Request.Method)
        {
            case "GET" or "HEAD":
                if (!await objects.SendAsync(http, access, place, "application/octet-stream", headers => http.Response.Headers[GoOutput] = headers.Find(header => header.Name == GoOutput).Value))
                {
                    await HttpText.MissAsync(http);
                }

                break;
            case "PUT":
                var output = http.Request.Headers[GoOutput].ToString();
                if (!Digest.TryParse(output, out var sha256))
                {
                    throw new ApiException(400, ProblemCodes.InvalidRequest, $"{GoOutput} has to be the SHA-256 of the body, 64 hex digits.");
                }

                await objects.PutAsync(http, access, place, [(GoOutput, output)], sha256);
                http.Response.StatusCode = StatusCodes.Status201Created;
                break;
            default:
                throw HttpText.MethodNotAllowed(http, "GET, HEAD, PUT");
        }
    }

    private async Task SendAsync(HttpContext http, BuildCacheAccess access, BlobKey place, string contentType)
    {
        if (!await objects.SendAsync(http, access, place, contentType))
        {
            await HttpText.MissAsync(http);
        }
    }

    private static string Named(string key) => key.Length > 0 ? key : throw new ApiException(400, ProblemCodes.InvalidRequest, "The URL ends before the key.");
}
