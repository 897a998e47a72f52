using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace Slipway.Bench;

/// <summary>The published server, in a data folder of its own.</summary>
internal sealed class BenchedServer : IAsyncDisposable
{
    private readonly Process process;
    private readonly string data;

    private BenchedServer(Process process, string data, Uri url)
    {
        this.process = process;
        this.data = data;
        Url = url;
        AdminToken = File.ReadAllText(Path.Combine(data, "admin-token")).Trim();
        Postgres = PidIn("postmaster.pid");
        Redis = PidIn("redis.pid");
        Http = new HttpClient { BaseAddress = url, Timeout = TimeSpan.FromMinutes(5) };
        Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", AdminToken);
    }

    public Uri Url { get; }

    public string AdminToken { get; }

    /// <summary>May push, fetch and query in the org bench.</summary>
    public string Key { get; private set; } = "";

    public HttpClient Http { get; }

    public int Pid => process.Id;

    public int Postgres { get; }

    public int Redis { get; }

    public static async Task<BenchedServer> StartAsync(string root, string folder, int grpcPort = 0)
    {
        var url = new Uri($"http://127.0.0.1:{Shell.FreePort()}");
        var data = Path.Combine(folder, "data");
        var log = Path.Combine(folder, "server.log");
        var process = Shell.Start("dotnet",
            [Path.Combine(root, "artifacts/publish/server/Slipway.Server.dll"), "up", "--data", data, "--http", url.Authority, "--grpc", $"127.0.0.1:{grpcPort}", "--set", "limits.requestsPerMinute=1000000"], log);
        try
        {
            await Shell.UntilAnswersAsync(new Uri(url, "/readyz"), process, log);
            return await new BenchedServer(process, data, url).WithOrgAsync();
        }
        catch
        {
            await Shell.StopAsync(process);
            throw;
        }
    }

    private async Task<BenchedServer> WithOrgAsync()
    {
        await PostAsync("/v1/orgs", new JsonObject { ["name"] = "bench" });
        var key = await PostAsync("/v1/keys", new JsonObject { ["name"] = "bench", ["scopes"] = new JsonArray("nix:push:bench/*", "nix:fetch:bench/*", "nix:query:bench/*") });
        Key = key["secret"]!.GetValue<string>();
        return this;
    }

    public async Task<string> CreateCacheAsync(string name, bool isPublic = true)
    {
        await PostAsync("/v1/orgs/bench/caches", new JsonObject { ["name"] = name, ["public"] = isPublic });
        return $"/nix/bench/{name}/";
    }

    /// <summary>Makes a build cache in the org bench; returns a key that may do everything with it.</summary>
    public async Task<string> CreateBuildCacheAsync(string name)
    {
        await PostAsync("/v1/orgs/bench/build-caches", new JsonObject { ["name"] = name });
        var key = await PostAsync("/v1/keys", new JsonObject { ["name"] = name, ["scopes"] = new JsonArray("buildcache:read:bench/*", "buildcache:write:bench/*", "buildcache:ac-write:bench/*") });
        return key["secret"]!.GetValue<string>();
    }

    private async Task<JsonObject> PostAsync(string path, JsonObject body)
    {
        using var content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
        using var answer = await Http.PostAsync(new Uri(path, UriKind.Relative), content);
        var text = await answer.Content.ReadAsStringAsync();
        return answer.IsSuccessStatusCode ? JsonNode.Parse(text)!.AsObject() : throw new InvalidOperationException($"POST {path}: {(int)answer.StatusCode} {text}");
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Shell.StopAsync(process);
    }

    private int PidIn(string file) => int.Parse(
        File.ReadLines(Directory.EnumerateFiles(data, file, SearchOption.AllDirectories).Single()).First(), CultureInfo.InvariantCulture);
}
