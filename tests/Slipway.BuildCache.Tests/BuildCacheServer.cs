using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Slipway.BuildCache.Namespaces;
using Slipway.Server.Tests;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests;

/// <summary>The whole server with the orgs <c>acme</c> and <c>elsewhere</c>, and build caches for tests.</summary>
public sealed class BuildCacheServer : IAsyncLifetime
{
    private readonly RunningServer running = new();
    private int count;

    public RunningServer Running => running;

    public HttpClient Client => running.Client;

    public AccessWorld World { get; private set; } = null!;

    public string Owner => World.OwnerToken;

    /// <summary>A session of the owner of <c>elsewhere</c>.</summary>
    public string Stranger { get; private set; } = null!;

    internal BuildCacheDirectory Directory => Service<BuildCacheDirectory>();

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await running.StartAsync(_ => { }, ("content.reserveBytes", "0B"), ("limits.anonymousRequestsPerMinute", "100000"), ("limits.requestsPerMinute", "1000000"), ("limits.buildCaches", "1000"));
        var admin = (await File.ReadAllTextAsync(Path.Combine(running.DataFolder, "admin-token"), CancellationToken)).Trim();
        World = await AccessWorld.CreateAsync(Client, admin, running.Database, CancellationToken);
        Stranger = (await World.TokenAsync(Actor.Stranger, null, CancellationToken))!;
    }

    public ValueTask DisposeAsync() => running.DisposeAsync();

    /// <summary>A build cache nobody else uses; returns its name in the org.</summary>
    public async Task<string> CacheAsync(string org = AccessWorld.Org, string settings = "")
    {
        var name = FreshName();
        await Client.JsonAsync("POST", $"/v1/orgs/{org}/build-caches", org == AccessWorld.Org ? Owner : Stranger, $$"""{"name":"{{name}}"{{(settings.Length == 0 ? "" : "," + settings)}}}""", CancellationToken);
        return name;
    }

    public string FreshName() => string.Create(CultureInfo.InvariantCulture, $"cache-{Interlocked.Increment(ref count)}");

    /// <summary>An org of its own with the stage asked for, owned by olga.</summary>
    public async Task<string> OrgAsync(string stage)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"org-{Interlocked.Increment(ref count)}");
        await Client.JsonAsync("POST", "/v1/orgs", Owner, $$"""{"name":"{{name}}"}""", CancellationToken);
        await Client.JsonAsync("PUT", $"/v1/orgs/{name}/build-stage", World.SuperuserToken, $$"""{"stage":"{{stage}}"}""", CancellationToken);
        return name;
    }

    /// <summary>What a call that must fail is answered.</summary>
    public async Task<(int Status, JsonObject Problem)> RefusedAsync(string method, string path, string? token, string? body = null, params (string Name, string Value)[] headers)
    {
        using var response = await Client.CallAsync(method, path, token, body, CancellationToken, headers);
        return response.IsSuccessStatusCode
            ? throw new InvalidOperationException($"{method} {path} was not refused: {(int)response.StatusCode}")
            : ((int)response.StatusCode, await response.ReadJsonAsync(CancellationToken));
    }

    public T Service<T>()
        where T : notnull => running.Server.Services.GetRequiredService<T>();
}
