using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache;

/// <summary>A server with an org whose builders share caches. Real build tools are heavy, so their tests run one after the other.</summary>
[CollectionDefinition(Name)]
public sealed class BuildTeamCollection : ICollectionFixture<BuildTeam>
{
    public const string Name = "build tools";
}

public sealed class BuildTeam : IAsyncLifetime
{
    private int caches;

    internal SlipwayServer Server { get; private set; } = null!;

    /// <summary>May read and write every build cache of the org, as CI would.</summary>
    public string Key { get; private set; } = "";

    /// <summary>May only read.</summary>
    public string ReadOnlyKey { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        Server = await SlipwayServer.StartAsync();
        await PostAsync("/v1/orgs", new { name = "acme" });
        Key = await IssueKeyAsync("buildcache:read:acme/*", "buildcache:write:acme/*", "buildcache:ac-write:acme/*");
        ReadOnlyKey = await IssueKeyAsync("buildcache:read:acme/*");
    }

    /// <summary>A new, empty cache.</summary>
    internal async Task<BuildCacheUnderTest> CacheAsync(bool validateActions = true, long? maxBlobBytes = null)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"cache-{Interlocked.Increment(ref caches)}");
        await PostAsync("/v1/orgs/acme/build-caches", new Dictionary<string, object?> { ["name"] = name, ["validateActions"] = validateActions, ["maxBlobBytes"] = maxBlobBytes });
        return new BuildCacheUnderTest(Server, $"acme/{name}");
    }

    public async Task<string> IssueKeyAsync(params string[] scopes) => (await IssueKeyWithIdAsync(scopes)).Secret;

    public async Task<(string Secret, string Id)> IssueKeyWithIdAsync(params string[] scopes)
    {
        var issued = await PostAsync("/v1/keys", new { name = "test", scopes });
        return (issued["secret"]!.GetValue<string>(), issued["key"]!["id"]!.GetValue<string>());
    }

    public async Task RevokeKeyAsync(string id)
    {
        using var client = Server.Client(Server.AdminToken);
        using var answer = await client.DeleteAsync(new Uri($"/v1/keys/{id}", UriKind.Relative), TestContext.Current.CancellationToken);
        answer.IsSuccessStatusCode.ShouldBeTrue();
    }

    public ValueTask DisposeAsync() => Server.DisposeAsync();

    private async Task<JsonObject> PostAsync<T>(string path, T body)
    {
        using var client = Server.Client(Server.AdminToken);
        using var answer = await client.PostAsJsonAsync(path, body, JsonSerializerOptions.Web, TestContext.Current.CancellationToken);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        answer.IsSuccessStatusCode.ShouldBeTrue($"POST {path}: {(int)answer.StatusCode} {text}");
        return JsonNode.Parse(text)!.AsObject();
    }
}

internal sealed record BuildCacheUnderTest(SlipwayServer Server, string Name)
{
    /// <summary>Where HTTP clients find it, without a slash at the end.</summary>
    public Uri Url => new(Server.Url, $"/cache/{Name}");

    /// <summary>Options that make a Bazel use it, by <c>http</c> or <c>grpc</c>.</summary>
    /// <param name="protocol">"http", "grpc", or "grpc-named": with the key before the instance name, for a Bazel that sends a gRPC cache no headers.</param>
    public string[] BazelOptions(string protocol, string key) =>
    [
        .. protocol switch
        {
            "http" => (string[])[$"--remote_cache={Url}", $"--remote_header=authorization=Bearer {key}"],
            "grpc" => [$"--remote_cache=grpc://127.0.0.1:{Server.GrpcPort}", $"--remote_instance_name={Name}", $"--remote_header=authorization=Bearer {key}"],
            _ => [$"--remote_cache=grpc://127.0.0.1:{Server.GrpcPort}", $"--remote_instance_name={key}/{Name}"],
        },
        "--remote_timeout=30",
    ];

    /// <summary>The stored bytes of a URL below the cache, or the status when it isn't 200.</summary>
    public async Task<(int Status, byte[] Body)> GetAsync(string path, string key)
    {
        using var client = Server.Client(key);
        using var answer = await client.GetAsync(new Uri($"{Url}/{path}"), TestContext.Current.CancellationToken);
        return ((int)answer.StatusCode, await answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }
}
