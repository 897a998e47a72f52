using System.Globalization;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Api.Client;
using Slipway.Server.Tests;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>The whole server with an org <c>acme</c>, and queues for tests.</summary>
public sealed class JobsServer : IAsyncLifetime
{
    private readonly RunningServer running = new();
    private int count;

    public RunningServer Running => running;

    public HttpClient Client => running.Client;

    public AccessWorld World { get; private set; } = null!;

    /// <summary>A member's session: what programs of the org may do.</summary>
    public string Member { get; private set; } = null!;

    public string Owner => World.OwnerToken;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await running.StartAsync(
            _ => { },
            ("content.reserveBytes", "0B"), ("limits.anonymousRequestsPerMinute", "100000"), ("limits.requestsPerMinute", "1000000"), ("limits.queueBytes", "64GiB"), ("limits.queues", "1000"),
            ("metrics.queues", "acme/named"));
        var admin = (await File.ReadAllTextAsync(Path.Combine(running.DataFolder, "admin-token"), CancellationToken)).Trim();
        World = await AccessWorld.CreateAsync(Client, admin, running.Database, CancellationToken);
        Member = (await World.TokenAsync(Actor.Member, null, CancellationToken))!;
    }

    public ValueTask DisposeAsync() => running.DisposeAsync();

    /// <summary>A queue nobody else uses.</summary>
    /// <param name="settings">JSON.</param>
    public async Task<TestQueue> QueueAsync(string settings = "{}", string? name = null)
    {
        name ??= string.Create(CultureInfo.InvariantCulture, $"queue-{Interlocked.Increment(ref count)}");
        await Client.JsonAsync("POST", "/v1/orgs/acme/queues", Owner, $$"""{"name":"{{name}}","settings":{{settings}}}""", CancellationToken);
        return new TestQueue(this, name);
    }

    public SlipwayClient ApiClient(string token, int tries = 5) => new(new SlipwayClientOptions { Url = running.Server.Url, Token = token, MaxTries = tries });
}

/// <summary>One queue, as programs see it.</summary>
public sealed class TestQueue(JobsServer server, string name)
{
    public string Name => name;

    public string Url => $"/v1/orgs/acme/queues/{name}";

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public Task<JsonObject> GetAsync(string path, string? token = null) => server.Client.JsonAsync("GET", Url + path, token ?? server.Owner, null, CancellationToken);

    public Task<JsonObject> PostAsync(string path, string? body, string? token = null, params (string Name, string Value)[] headers) =>
        server.Client.JsonAsync("POST", Url + path, token ?? server.Member, body, CancellationToken, headers);

    public Task<JsonObject> AdminAsync(string path, string? body) => PostAsync(path, body, server.Owner);

    /// <summary>What a call that must fail is answered.</summary>
    public async Task<(int Status, JsonObject Problem, HttpResponseMessage Response)> RefusedAsync(string method, string path, string? body, string? token = null, params (string Name, string Value)[] headers)
    {
        var response = await server.Client.CallAsync(method, Url + path, token ?? server.Member, body, CancellationToken, headers);
        response.IsSuccessStatusCode.ShouldBeFalse(await response.Content.ReadAsStringAsync(CancellationToken));
        return ((int)response.StatusCode, await response.ReadJsonAsync(CancellationToken), response);
    }

    public async Task<Guid> EnqueueAsync(string job = """{"type":"mail"}""") => Guid.Parse((await PostAsync("/jobs", job)).Text("id"));

    /// <summary>The blocks of one lease.</summary>
    public async Task<JsonArray> LeaseAsync(string request = """{"max":10}""") => (await PostAsync("/lease", request))["blocks"]!.AsArray();

    public async Task<string> AckAsync(string block, string ends = "{}") => (await PostAsync($"/blocks/{block}/ack", ends)).Text("state");

    public Task<JsonObject> StatsAsync() => GetAsync("/stats");

    public async Task<long> TotalAsync(string total) => (await StatsAsync())["totals"]![total]?.GetValue<long>() ?? 0;
}
