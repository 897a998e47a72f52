using System.Net.Sockets;
using System.Text;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Nix;

/// <summary>Uploads that are cut, refused, raced or overtaken by a revocation: all of it is visible, or nothing.</summary>
public sealed class InterruptedUploadTests(AcmeServer server) : IClassFixture<AcmeServer>
{
    /// <summary>Incompressible and longer than what sits in buffers on the way.</summary>
    private static readonly byte[] LargeNar = Nars.Archive(Nars.Plain(System.Security.Cryptography.RandomNumberGenerator.GetBytes(2_500_000)));

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("")]
    [InlineData("Transfer-Encoding: chunked")]
    public async Task A_cut_connection_leaves_nothing(string framing)
    {
        var cache = await server.CacheAsync();
        var nar = NarFile.Plain(LargeNar);
        var chunked = framing.Length > 0;
        using (var socket = await server.ConnectAsync())
        {
            await AcmeServer.SendAsync(socket, Head(cache, nar.Url, server.Key, chunked ? framing : $"Content-Length: {LargeNar.Length}") + (chunked ? $"{LargeNar.Length:x}\n" : ""));
            await socket.SendAsync(LargeNar.AsMemory(0, 1_800_000), CancellationToken);
            await Eventually.TrueAsync(() => server.Leftovers().Count == 1, CancellationToken);
            socket.LingerState = new LingerOption(true, 0);
        }

        await server.ShouldBeSoundAsync();
        (await cache.StatusAsync(nar.Url)).ShouldBe(404);
        // The next try starts afresh.
        (await cache.PutNarAsync(nar)).Status.ShouldBe(201);
    }

    [Fact]
    public async Task A_connection_that_ends_cleanly_before_the_end_of_the_body_leaves_nothing()
    {
        var cache = await server.CacheAsync();
        // All of the NAR is there; only the announced length is not reached. Little enough for the server to read it all before it refuses:
        // closing with bytes unread would reset the connection before the answer.
        var nar = NarFile.Plain(Nars.Archive(Nars.Plain(System.Security.Cryptography.RandomNumberGenerator.GetBytes(800_000))));
        using var socket = await server.ConnectAsync();
        await AcmeServer.SendAsync(socket, Head(cache, nar.Url, server.Key, $"Content-Length: {nar.Bytes.Length + 1}"));
        await socket.SendAsync(nar.Bytes, CancellationToken);
        socket.Shutdown(SocketShutdown.Send);
        (await RunningServer.ReadAsync(socket, null)).Answer.ShouldNotContain(" 20");
        await server.ShouldBeSoundAsync();
        (await cache.StatusAsync(nar.Url)).ShouldBe(404);
    }

    [Theory]
    [InlineData("nar", "key revoked")]
    [InlineData("nar", "member removed")]
    [InlineData("nar", "user disabled")]
    [InlineData("nar", "cache deleted")]
    [InlineData("narinfo", "key revoked")]
    [InlineData("log", "key revoked")]
    [InlineData("log", "member removed")]
    [InlineData("log", "cache deleted")]
    [InlineData("realisation", "key revoked")]
    public async Task What_is_overtaken_by_a_revocation_does_not_become_visible(string kind, string change)
    {
        var cache = await server.CacheAsync();
        var present = TestPath.Fresh();
        await cache.PushAsync(present);
        var path = TestPath.Fresh();
        if (kind == "narinfo")
        {
            await cache.PutNarAsync(path.Nar);
        }

        var id = $"sha256:{new string('1', 64)}!out";
        var (file, body) = kind switch
        {
            "nar" => (path.Nar.Url, path.Nar.Bytes),
            "narinfo" => ($"{path.Hash}.narinfo", Encoding.ASCII.GetBytes(path.NarInfo())),
            "log" => ($"log/{TestPath.FreshHash()}-thing.drv", Encoding.ASCII.GetBytes("built")),
            _ => ($"realisations/{id}.doi", Encoding.ASCII.GetBytes($$"""{"id":"{{id}}","outPath":"{{present.BaseName}}"}""")),
        };
        var user = await server.World.AddMemberAsync("member", CancellationToken);
        var session = await server.World.SignInAsync(user, CancellationToken);
        var issued = await server.Client.JsonAsync("POST", "/v1/keys", session, AccessWorld.KeyBody("nix:push:acme/*"), CancellationToken);
        using var socket = await server.ConnectAsync();
        await AcmeServer.SendAsync(socket, Head(cache, file, issued.Text("secret"), $"Content-Length: {body.Length}", "Expect: 100-continue"));
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 100");
        await socket.SendAsync(body.AsMemory(0, body.Length - 1), CancellationToken);

        await (change switch
        {
            "key revoked" => SucceedAsync("DELETE", "/v1/keys/" + issued["key"]!.AsObject().Text("id"), session),
            "member removed" => SucceedAsync("DELETE", "/v1/orgs/acme/members/" + user, server.World.OwnerToken),
            "cache deleted" => SucceedAsync("DELETE", cache.Api, server.World.OwnerToken),
            _ => server.World.DisableAsync(user, CancellationToken),
        });
        await socket.SendAsync(body.AsMemory(body.Length - 1), CancellationToken);
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 4");
        (await cache.StatusAsync(file)).ShouldBe(404);
        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task Two_pushes_of_one_path_at_once_both_succeed_when_they_are_equal()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        var nars = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => cache.PutNarAsync(path.Nar)));
        nars.ShouldAllBe(answer => answer.Status == 200 || answer.Status == 201);
        var narInfos = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => cache.PutNarInfoAsync(path, path.NarInfo())));
        narInfos.ShouldAllBe(answer => answer.Status == 201);
        (await PushedEventsAsync(cache)).ShouldBe(1);
        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task Of_different_pushes_of_one_path_at_once_one_wins_and_the_others_hear_of_it()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        var versions = Enumerable.Range(0, 8).Select(_ => path with { Nar = TestPath.Fresh().Nar }).ToList();
        await Task.WhenAll(versions.Select(version => cache.PutNarAsync(version.Nar)));
        var answers = await Task.WhenAll(versions.Select(version => cache.PutNarInfoAsync(version, version.NarInfo())));
        answers.Count(answer => answer.Status == 201).ShouldBe(1);
        answers.Count(answer => answer.Status == 409).ShouldBe(7);
        var winner = versions[Array.FindIndex(answers, answer => answer.Status == 201)];
        (await cache.ReadAsync($"{path.Hash}.narinfo")).ShouldContain(winner.NarHash);
        (await PushedEventsAsync(cache)).ShouldBe(1);
        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task A_path_removed_while_others_push_to_it_never_leaves_a_hole()
    {
        var cache = await server.CacheAsync();
        for (var round = 0; round < 5; round++)
        {
            var needed = TestPath.Fresh();
            await cache.PushAsync(needed);
            var path = TestPath.Fresh(needed);
            await cache.PutNarAsync(path.Nar);
            var pushing = cache.PutNarInfoAsync(path, path.NarInfo());
            using var removal = await server.Client.CallAsync("DELETE", $"{cache.Api}/paths/{needed.Hash}", server.Key, null, CancellationToken);
            var pushed = (await pushing).Status;
            ((int)removal.StatusCode, pushed).ShouldBeOneOf((409, 201), (204, 400), (204, 409));
            (await cache.StatusAsync($"{path.Hash}.narinfo")).ShouldBe(pushed == 201 ? 200 : 404);
            (await cache.StatusAsync($"{needed.Hash}.narinfo")).ShouldBe(pushed == 201 ? 200 : 404);
        }

        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task The_first_build_log_of_a_derivation_stays()
    {
        var cache = await server.CacheAsync();
        var file = $"log/{TestPath.FreshHash()}-thing.drv";
        (await cache.PutAsync(file, Encoding.ASCII.GetBytes("first"))).Status.ShouldBe(201);
        (await cache.PutAsync(file, Encoding.ASCII.GetBytes("second"))).Status.ShouldBeInRange(200, 299);
        (await cache.ReadAsync(file)).ShouldBe("first");
        using var answer = await cache.GetAsync(file);
        answer.Content.Headers.ContentType!.ToString().ShouldStartWith("text/plain");
        answer.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
    }

    private static string Head(TestCache cache, string file, string token, params string[] headers) =>
        $"PUT {cache.Url}/{file} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\n{string.Concat(headers.Select(header => header + "\n"))}\n";

    private async Task SucceedAsync(string method, string path, string token) =>
        (await server.Client.CallAsync(method, path, token, null, CancellationToken)).EnsureSuccessStatusCode();

    private async Task<int> PushedEventsAsync(TestCache cache) =>
        (await server.Client.JsonAsync("GET", "/v1/orgs/acme/events?limit=500", server.World.OwnerToken, null, CancellationToken))["items"]!.AsArray()
            .Count(one => one!["action"]?.GetValue<string>() == "nix.paths_pushed" && one.ToJsonString().Contains($"acme/{cache.Name}\"", StringComparison.Ordinal));
}
