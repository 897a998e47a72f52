using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Slipway.EndToEnd.Tests.Running;

/// <summary>A server with an org, caches and keys, as a team would have them.</summary>
public sealed class Acme : IAsyncLifetime
{
    internal SlipwayServer Server { get; private set; } = null!;

    /// <summary>May push, fetch and query everything of the org.</summary>
    public string Key { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        Server = await SlipwayServer.StartAsync("limits.requestsPerMinute=1000000");
        await PostAsync("/v1/orgs", new { name = "acme" });
        Key = await IssueKeyAsync("nix:push:acme/*", "nix:fetch:acme/*", "nix:query:acme/*");
    }

    /// <summary>A new cache, and the public key its paths are signed with.</summary>
    internal async Task<NixCacheUnderTest> CacheAsync(string name, bool isPublic = true, string referenceCheck = "strict")
    {
        var cache = await PostAsync("/v1/orgs/acme/caches", new Dictionary<string, object> { ["name"] = name, ["public"] = isPublic, ["referenceCheck"] = referenceCheck });
        return new NixCacheUnderTest($"acme/{name}", new Uri(Server.Url, $"/nix/acme/{name}"), cache["publicKeys"]![0]!.GetValue<string>());
    }

    public async Task<string> IssueKeyAsync(params string[] scopes) =>
        (await PostAsync("/v1/keys", new { name = "test", scopes }))["secret"]!.GetValue<string>();

    public async Task<JsonObject> PostAsync<T>(string path, T body)
    {
        using var client = Server.Client(Server.AdminToken);
        using var answer = await client.PostAsJsonAsync(path, body, JsonSerializerOptions.Web, TestContext.Current.CancellationToken);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        answer.IsSuccessStatusCode.ShouldBeTrue($"POST {path}: {(int)answer.StatusCode} {text}");
        return JsonNode.Parse(text)!.AsObject();
    }

    public async Task<JsonObject> FsckAsync() => await PostAsync("/v1/stores/default/fsck?deep=true", new { });

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}

internal sealed record NixCacheUnderTest(string Name, Uri Url, string PublicKey)
{
    /// <summary>The URL as a store to write to: zstd, because xz would take minutes of client CPU.</summary>
    public string PushUrl => $"{Url}?compression=zstd";
}
