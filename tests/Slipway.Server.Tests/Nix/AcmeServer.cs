using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Nix;

/// <summary>The whole server with an org <c>acme</c>, ready to be pushed to, and eyes on everything an upload may leave behind.</summary>
public class AcmeServer : IAsyncLifetime
{
    private readonly RunningServer running = new();
    private int count;

    public RunningServer Running => running;

    public AccessWorld World { get; private set; } = null!;

    public HttpClient Client => running.Client;

    /// <summary>An owner's key for everything a build machine does in acme.</summary>
    public string Key { get; private set; } = null!;

    protected virtual (string Key, string Value)[] Settings => [];

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await running.StartAsync(
            _ => { },
            [("content.reserveBytes", "0B"), ("limits.narBytes", "3MiB"), ("limits.archiveBytes", "4MiB"), ("limits.anonymousRequestsPerMinute", "100000"), ("limits.requestsPerMinute", "100000"), .. Settings]);
        var admin = (await File.ReadAllTextAsync(Path.Combine(running.DataFolder, "admin-token"), CancellationToken)).Trim();
        World = await AccessWorld.CreateAsync(Client, admin, running.Database, CancellationToken);
        Key = await IssueAsync();
    }

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return running.DisposeAsync();
    }

    public Task<string> IssueAsync() => World.IssueAsync(World.OwnerToken, ["nix:push:acme/*", "nix:fetch:acme/*", "nix:query:acme/*", "nix:delete:acme/*"], CancellationToken);

    /// <summary>A private cache nobody else uses.</summary>
    public async Task<TestCache> CacheAsync(string referenceCheck = "strict", bool isPublic = false, string store = "default")
    {
        var name = $"cache{Interlocked.Increment(ref count)}";
        await Client.JsonAsync(
            "POST", "/v1/orgs/acme/caches", World.OwnerToken,
            $$"""{"name":"{{name}}","referenceCheck":"{{referenceCheck}}","public":{{(isPublic ? "true" : "false")}},"store":"{{store}}"}""", CancellationToken);
        return new TestCache(this, name);
    }

    /// <summary>Bytes of uploads that are neither finished nor cleared away: temporary files of stores and of archives.</summary>
    public IReadOnlyList<string> Leftovers() =>
        [.. Directory.EnumerateFiles(running.DataFolder, "*", SearchOption.AllDirectories).Where(file => Path.GetFileName(Path.GetDirectoryName(file)) == "uploads")];

    /// <summary>What must hold after any attack: nothing temporary is left and fsck finds nothing.</summary>
    /// <param name="archive">When given, of the archives only this one must be gone: other tests have theirs open.</param>
    public async Task ShouldBeSoundAsync(string store = "default", string? archive = null)
    {
        await Eventually.PassesAsync(
            _ =>
            {
                Leftovers().Where(file => archive is null || Path.GetFileName(file) is var name && (name == archive || !name.StartsWith("arc_", StringComparison.Ordinal))).ShouldBeEmpty();
                return Task.CompletedTask;
            },
            CancellationToken);
        var report = await Client.JsonAsync("POST", $"/v1/stores/{store}/fsck?deep=true", World.SuperuserToken, null, CancellationToken);
        report["clean"]!.GetValue<bool>().ShouldBeTrue(report.ToJsonString());
    }

    public async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, running.Server.Url.Port), CancellationToken);
        return socket;
    }

    public static Task SendAsync(Socket socket, string text) => socket.SendAsync(Encoding.ASCII.GetBytes(text.ReplaceLineEndings("\r\n")), CancellationToken).AsTask();
}

/// <summary>One cache, as a client of the Nix protocol and of the API sees it.</summary>
public sealed class TestCache(AcmeServer server, string name)
{
    public string Name => name;

    public string Url => $"/nix/acme/{name}";

    public string Api => $"/v1/orgs/acme/caches/{name}";

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async Task<(int Status, string Text)> PutAsync(string file, byte[] body, string? token = null, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{Url}/{file}") { Content = new ByteArrayContent(body) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token ?? server.Key);
        foreach (var (header, value) in headers)
        {
            if (!request.Headers.TryAddWithoutValidation(header, value))
            {
                request.Content.Headers.TryAddWithoutValidation(header, value);
            }
        }

        using var response = await server.Client.SendAsync(request, CancellationToken);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync(CancellationToken));
    }

    public Task<(int Status, string Text)> PutNarAsync(NarFile nar) => PutAsync(nar.Url, nar.Bytes);

    public Task<(int Status, string Text)> PutNarInfoAsync(TestPath path, string narInfo) => PutAsync($"{path.Hash}.narinfo", Encoding.UTF8.GetBytes(narInfo));

    /// <summary>NAR, then narinfo; both must be taken.</summary>
    public async Task PushAsync(TestPath path, params string[] extraLines)
    {
        var (nar, said) = await PutNarAsync(path.Nar);
        nar.ShouldBeOneOf([200, 201], said);
        (nar, said) = await PutNarInfoAsync(path, path.NarInfo(extraLines));
        nar.ShouldBe(201, said);
    }

    public async Task<HttpResponseMessage> GetAsync(string file, string method = "GET", params (string Name, string Value)[] headers) =>
        await server.Client.CallAsync(method, $"{Url}/{file}", server.Key, null, CancellationToken, headers);

    public async Task<int> StatusAsync(string file)
    {
        using var response = await GetAsync(file);
        return (int)response.StatusCode;
    }

    public async Task<string> ReadAsync(string file)
    {
        using var response = await GetAsync(file);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        return await response.Content.ReadAsStringAsync(CancellationToken);
    }

    public Task<JsonObject> ShowAsync(TestPath path) => server.Client.JsonAsync("GET", $"{Api}/paths/{path.Hash}", server.Key, null, CancellationToken);

    public async Task ShouldLackAsync(TestPath path)
    {
        (await StatusAsync($"{path.Hash}.narinfo")).ShouldBe(404);
        (await server.Client.JsonAsync("GET", $"{Api}/paths", server.Key, null, CancellationToken))["items"]!.AsArray()
            .ShouldNotContain(item => item!["hash"]!.GetValue<string>() == path.Hash);
    }
}
