using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>
/// Turborepo's remote cache (<c>/v8/artifacts</c>). The team in the query (<c>slug</c>, <c>teamId</c>) is not looked at: the cache is
/// the one in the URL, and the key's rights decide.
/// </summary>
/// <remarks>
/// The tag is the client's signature over the artifact. It is kept and handed back as it came; only who has the secret can check it,
/// so a server that was broken into can't forge artifacts.
/// </remarks>
internal sealed class Turborepo(KeyedObjects objects)
{
    private const string ArtifactsPath = "v8/artifacts";

    /// <summary>Kept with an artifact and sent again with it.</summary>
    private static readonly string[] Kept = ["x-artifact-duration", "x-artifact-tag", "x-artifact-sha", "x-artifact-dirty-hash"];

    /// <summary>Longest body of events or of a query: 1 MiB is 15,000 hashes, more than a monorepo has tasks.</summary>
    private const int LongestJson = 1 << 20;

    /// <summary>Whether a refusal of this request is read by turbo.</summary>
    public static bool Owns(PathString path) => path.Value?.Contains("/turbo/" + ArtifactsPath, StringComparison.Ordinal) == true;

    /// <summary>An error in the shape that turbo prints.</summary>
    public static Task RefuseAsync(HttpContext http, int status, string code, string message) =>
        AnswerAsync(http, status, new JsonObject { ["error"] = new JsonObject { ["code"] = code, ["message"] = message } });

    public Task HandleAsync(HttpContext http, BuildCacheAccess access, string path)
    {
        if (path == ArtifactsPath || path.StartsWith(ArtifactsPath + "/", StringComparison.Ordinal))
        {
            var rest = path[ArtifactsPath.Length..].TrimStart('/');
            switch (rest, http.Request.Method)
            {
                case ("status", "GET"):
                    return AnswerAsync(http, StatusCodes.Status200OK, new JsonObject { ["status"] = "enabled" });
                case ("events", "POST"):
                    return EventsAsync(http);
                case ("", "POST"):
                    return QueryAsync(http, access);
                case ({ Length: > 0 }, "GET" or "HEAD"):
                    return SendAsync(http, access, rest);
                case ({ Length: > 0 }, "PUT"):
                    return PutAsync(http, access, rest);
                case (_, "OPTIONS"):
                    // "turbo --preflight" asks where to send a request, and with which headers, before each one.
                    http.Response.Headers.AccessControlAllowHeaders = "Authorization, Content-Type, User-Agent, " + string.Join(", ", Kept);
                    http.Response.Headers.AccessControlAllowMethods = "GET, HEAD, PUT, POST";
                    return Task.CompletedTask;
            }
        }

        throw new ApiException(400, ProblemCodes.InvalidRequest, "Turborepo's artifacts are at v8/artifacts/{hash}.", $"Set TURBO_API to the URL that ends in {access.Name}/turbo.");
    }

    private async Task SendAsync(HttpContext http, BuildCacheAccess access, string hash)
    {
        if (!await objects.SendAsync(http, access, KeyOf(access, hash), "application/octet-stream", headers =>
        {
            foreach (var (name, value) in headers)
            {
                http.Response.Headers[name] = value;
            }
        }))
        {
            await RefuseAsync(http, StatusCodes.Status404NotFound, ProblemCodes.NotFound, "not in this cache");
        }
    }

    private async Task PutAsync(HttpContext http, BuildCacheAccess access, string hash)
    {
        var headers = new ObjectHeaders();
        foreach (var name in Kept)
        {
            if (http.Request.Headers[name] is { Count: 1 } value)
            {
                headers.Add((name, value.ToString()));
            }
        }

        await objects.PutAsync(http, access, KeyOf(access, hash), headers);
        await AnswerAsync(http, StatusCodes.Status202Accepted, new JsonObject { ["urls"] = new JsonArray(http.Request.Path.Value) });
    }

    /// <summary>Which of many artifacts are here, and what they are.</summary>
    private async Task QueryAsync(HttpContext http, BuildCacheAccess access)
    {
        var asked = (await ReadJsonAsync(http) as JsonObject)?["hashes"] as JsonArray
            ?? throw new ApiException(400, ProblemCodes.InvalidRequest, "The body has to be {\"hashes\": […]}.");
        var answer = new JsonObject();
        foreach (var hash in asked)
        {
            if (hash?.GetValueKind() != JsonValueKind.String || answer.ContainsKey(hash.GetValue<string>()))
            {
                continue;
            }

            var name = hash.GetValue<string>();
            answer[name] = await objects.FindAsync(access, KeyOf(access, name), http.RequestAborted) is not { } found
                ? null
                : new JsonObject
                {
                    ["size"] = found.Length,
                    ["taskDurationMs"] = long.TryParse(Value(found.Headers, "x-artifact-duration"), NumberStyles.None, CultureInfo.InvariantCulture, out var duration) ? duration : 0,
                    ["tag"] = Value(found.Headers, "x-artifact-tag"),
                };
        }

        await AnswerAsync(http, StatusCodes.Status200OK, answer);
    }

    /// <summary>turbo tells what it hit and missed, which is known here already; it wants to be thanked.</summary>
    private static async Task EventsAsync(HttpContext http)
    {
        await ReadJsonAsync(http);
        await AnswerAsync(http, StatusCodes.Status200OK, []);
    }

    private static async ValueTask<JsonNode?> ReadJsonAsync(HttpContext http)
    {
        if (http.Request.ContentLength is not <= LongestJson)
        {
            throw new ApiException(413, ProblemCodes.TooLarge, $"This takes up to {LongestJson:N0} bytes of JSON, with a Content-Length.");
        }

        try
        {
            return await JsonNode.ParseAsync(http.Request.Body, cancellationToken: http.RequestAborted);
        }
        catch (JsonException)
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, "The body is not JSON.");
        }
    }

    private static Slipway.Content.BlobKey KeyOf(BuildCacheAccess access, string hash) => KeyedObjects.KeyOf(access, "turbo", hash);

    private static string? Value(ObjectHeaders headers, string name) => headers.Find(header => header.Name == name).Value;

    private static Task AnswerAsync(HttpContext http, int status, JsonObject body) =>
        HttpText.AnswerAsync(http, status, JsonSerializer.SerializeToUtf8Bytes(body, HttpJson.Default.JsonObject), "application/json");
}

[System.Text.Json.Serialization.JsonSerializable(typeof(JsonObject))]
internal sealed partial class HttpJson : System.Text.Json.Serialization.JsonSerializerContext;
