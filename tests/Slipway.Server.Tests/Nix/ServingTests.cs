using System.Net;
using Shouldly;
using Xunit;

namespace Slipway.Server.Tests.Nix;

/// <summary>What is asked of a cache in odd ways: parts, conditions, and paths that try to leave it.</summary>
public sealed class ServingTests(AcmeServer server) : IClassFixture<AcmeServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("bytes=0-0", 0, 0)]
    [InlineData("bytes=10-", 10, -1)]
    [InlineData("bytes=10-19", 10, 19)]
    [InlineData("bytes=-5", -5, -1)]
    [InlineData("bytes=-99999999", 0, -1)]
    [InlineData("bytes=20-99999999", 20, -1)]
    public async Task A_range_of_a_NAR_is_exactly_that_part(string range, int from, int to)
    {
        var (cache, path) = await PushedAsync();
        var bytes = path.Nar.Bytes;
        var expected = bytes[(from < 0 ? bytes.Length + from : from)..(to < 0 ? bytes.Length : to + 1)];
        using var response = await cache.GetAsync(path.Nar.Url, headers: ("Range", range));
        response.StatusCode.ShouldBe(HttpStatusCode.PartialContent);
        (await response.Content.ReadAsByteArrayAsync(CancellationToken)).ShouldBe(expected);
        response.Content.Headers.ContentRange!.Length.ShouldBe(bytes.Length);
        response.Content.Headers.ContentRange.From.ShouldBe(from < 0 ? bytes.Length + from : from);
    }

    [Theory]
    [InlineData("bytes=0-3,5-9", 200)]
    [InlineData("bytes=9-3", 200)]
    [InlineData("lines=1-2", 200)]
    [InlineData("bytes=99999999999999999999999-", 200)]
    [InlineData("junk", 200)]
    [InlineData("bytes=9999999-", 416)]
    [InlineData("bytes=-0", 416)]
    public async Task A_range_that_is_not_one_gets_the_whole_NAR_or_416(string range, int expected)
    {
        var (cache, path) = await PushedAsync();
        using var response = await cache.GetAsync(path.Nar.Url, headers: ("Range", range));
        ((int)response.StatusCode).ShouldBe(expected);
        var body = await response.Content.ReadAsByteArrayAsync(CancellationToken);
        body.ShouldBe(expected == 200 ? path.Nar.Bytes : []);
        if (expected == 416)
        {
            response.Content.Headers.ContentRange!.ToString().ShouldBe($"bytes */{path.Nar.Bytes.Length}");
        }
    }

    [Fact]
    public async Task If_Range_gives_the_part_of_this_very_file_and_else_all_of_it()
    {
        var (cache, path) = await PushedAsync();
        using var head = await cache.GetAsync(path.Nar.Url, "HEAD");
        var etag = head.Headers.ETag!.ToString();
        foreach (var (condition, status) in ((string, HttpStatusCode)[])[(etag, HttpStatusCode.PartialContent), ("\"other\"", HttpStatusCode.OK), ("W/" + etag, HttpStatusCode.OK), ("Sat, 21 Nov 2026 00:00:00 GMT", HttpStatusCode.OK)])
        {
            using var response = await cache.GetAsync(path.Nar.Url, "GET", ("Range", "bytes=4-"), ("If-Range", condition));
            response.StatusCode.ShouldBe(status, condition);
            (await response.Content.ReadAsByteArrayAsync(CancellationToken)).ShouldBe(status == HttpStatusCode.OK ? path.Nar.Bytes : path.Nar.Bytes[4..]);
        }
    }

    [Fact]
    public async Task HEAD_says_what_GET_would()
    {
        var (cache, path) = await PushedAsync();
        foreach (var file in (string[])[path.Nar.Url, $"{path.Hash}.narinfo", $"{path.Hash}.ls", "nix-cache-info", $"nar/{new string('0', 52)}.nar", $"{new string('0', 32)}.narinfo"])
        {
            using var head = await cache.GetAsync(file, "HEAD");
            using var get = await cache.GetAsync(file);
            head.StatusCode.ShouldBe(get.StatusCode);
            head.Content.Headers.ContentLength.ShouldBe(get.Content.Headers.ContentLength);
            head.Content.Headers.ContentType.ShouldBe(get.Content.Headers.ContentType);
            head.Headers.ETag.ShouldBe(get.Headers.ETag);
            (await head.Content.ReadAsByteArrayAsync(CancellationToken)).ShouldBeEmpty();
        }
    }

    [Fact]
    public async Task A_known_file_is_304_until_it_changes()
    {
        var (cache, path) = await PushedAsync();
        foreach (var file in (string[])[path.Nar.Url, $"{path.Hash}.narinfo"])
        {
            using var first = await cache.GetAsync(file);
            var etag = first.Headers.ETag!.ToString();
            foreach (var (known, expected) in ((string, int)[])[(etag, 304), ("W/" + etag, 304), ($"\"x\", {etag}", 304), ("*", 304), ("\"x\"", 200), (etag.Trim('"'), 200)])
            {
                using var again = await cache.GetAsync(file, headers: ("If-None-Match", known));
                ((int)again.StatusCode).ShouldBe(expected, known);
                again.Headers.ETag!.ToString().ShouldBe(etag);
            }
        }

        using var before = await cache.GetAsync($"{path.Hash}.narinfo");
        (await cache.PutNarInfoAsync(path, path.NarInfo("Sig: other-1:" + Convert.ToBase64String(new byte[64])))).Status.ShouldBe(201);
        using var after = await cache.GetAsync($"{path.Hash}.narinfo", headers: ("If-None-Match", before.Headers.ETag!.ToString()));
        after.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_file_that_was_lost_is_404_and_no_proxy_keeps_that()
    {
        var cache = await server.CacheAsync(isPublic: true);
        // Large enough to be a file of its own.
        var path = TestPath.Of(NarFile.Plain(Nars.Archive(Nars.Plain(System.Security.Cryptography.RandomNumberGenerator.GetBytes(1_234_567)))));
        await cache.PushAsync(path);
        var blob = Directory.EnumerateFiles(server.Running.DataFolder, "*", SearchOption.AllDirectories)
            .Single(file => file.Contains("/large/", StringComparison.Ordinal) && new FileInfo(file).Length == path.Nar.Bytes.Length);
        File.Delete(blob);
        using (var lost = await cache.GetAsync(path.Nar.Url))
        {
            lost.StatusCode.ShouldBe(HttpStatusCode.NotFound);
            lost.Headers.CacheControl?.ToString().ShouldNotContain("immutable");
            lost.Headers.ETag.ShouldBeNull();
        }

        // Pushed again, it is back.
        (await cache.PutNarAsync(path.Nar)).Status.ShouldBe(201);
        using var found = await cache.GetAsync(path.Nar.Url);
        found.StatusCode.ShouldBe(HttpStatusCode.OK);
        found.Headers.CacheControl!.ToString().ShouldContain("immutable");
    }

    [Theory]
    [InlineData("/nix")]
    [InlineData("/nix/")]
    [InlineData("/nix//")]
    [InlineData("/nix/acme")]
    [InlineData("/nix/acme/")]
    [InlineData("/nix/acme/{cache}")]
    [InlineData("/nix/acme/{cache}/")]
    [InlineData("//nix/acme/{cache}/nix-cache-info")]
    [InlineData("/nix//acme/{cache}/nix-cache-info")]
    [InlineData("/nix/acme//{cache}/nix-cache-info")]
    [InlineData("/nix/acme/{cache}//nix-cache-info")]
    [InlineData("/nix/acme/{cache}/nix-cache-info/")]
    [InlineData("/nix/acme/{cache}/x/../../../../etc/passwd")]
    [InlineData("/nix/acme/{cache}/../../../v1/stores")]
    [InlineData("/nix/../../../../etc/passwd")]
    [InlineData("/nix/acme/{cache}/%2e%2e/%2e%2e/%2e%2e/etc/passwd")]
    [InlineData("/nix/acme/{cache}/..%2f..%2f..%2fadmin-token")]
    [InlineData("/nix/acme/{cache}/%252e%252e%252fadmin-token")]
    [InlineData("/nix/acme/{cache}/..%5c..%5cadmin-token")]
    [InlineData("/nix/acme%2f{cache}%2fnix-cache-info")]
    [InlineData("/nix/acme/{cache}%2fnix-cache-info")]
    [InlineData("/nix/acme%2f..%2facme/{cache}/nix-cache-info")]
    [InlineData("/nix/ACME/{cache}/nix-cache-info")]
    [InlineData("/nix/acme/{cache}/NIX-CACHE-INFO")]
    [InlineData("/nix/acme/{cache}/nar/../nix-cache-infox")]
    [InlineData("/nix/acme/{cache}/nar/..%2f..%2f..%2f..%2fadmin-token")]
    [InlineData("/nix/acme/{cache}/nar/{zeros52}.nar.zst.narinfo")]
    [InlineData("/nix/acme/{cache}/nar/{zeros52}.nar/../../x")]
    [InlineData("/nix/acme/{cache}/log/../{zeros32}-x.drv")]
    [InlineData("/nix/acme/{cache}/log/{zeros32}-..%2f..%2fadmin-token.drv")]
    [InlineData("/nix/acme/{cache}/log/{zeros32}-.drv")]
    [InlineData("/nix/acme/{cache}/realisations/sha256:..%2f..%2fadmin-token!out.doi")]
    [InlineData("/nix/acme/{cache}/debuginfo/..%2f..%2fadmin-token")]
    [InlineData("/nix/acme/{cache}/{zeros32}.narinfo.ls")]
    [InlineData("/nix/acme/{cache}/{zeros32}%00.narinfo")]
    [InlineData("/nix/acme/{cache}/%ff%fe.narinfo")]
    [InlineData("/nix/acme/{cache}/{zeros32}.narinfo;x")]
    [InlineData("/v1/orgs/acme/caches/..%2f..%2f..%2fstores")]
    [InlineData("/v1/orgs/acme/caches/{cache}/paths/..%2f..%2f..")]
    [InlineData("/v1/orgs/acme/caches/{cache}/paths/{zeros32}%00")]
    [InlineData("/v1/orgs/acme/caches/{cache}/archives/arc_..%2f..%2fadmin-token")]
    [InlineData("/v1/orgs/acme/caches/{cache}/signing-keys/..%2f..")]
    [InlineData("/v1/stores/..%2f..%2fetc")]
    public async Task No_path_leaves_its_place(string template)
    {
        var cache = await server.CacheAsync();
        var target = template.Replace("{cache}", cache.Name, StringComparison.Ordinal)
            .Replace("{zeros52}", new string('0', 52), StringComparison.Ordinal).Replace("{zeros32}", new string('0', 32), StringComparison.Ordinal);
        foreach (var method in (string[])["GET", "PUT", "DELETE"])
        {
            // Raw: HttpClient would tidy the path up.
            using var socket = await server.ConnectAsync();
            await AcmeServer.SendAsync(
                socket, $"{method} {target} HTTP/1.1\nHost: x\nAuthorization: Bearer {server.World.OwnerToken}\nContent-Length: 4\nConnection: close\n\njunk");
            var (answer, _) = await RunningServer.ReadAsync(socket, null);
            answer.ShouldStartWith("HTTP/1.1 4", customMessage: $"{method} {target}");
        }

        await server.ShouldBeSoundAsync();
    }

    [Theory]
    [InlineData("/v1/orgs/acme/caches/{cache}/paths?name=%00")]
    [InlineData("/v1/orgs/acme/caches/{cache}/paths?name=%ff%fe")]
    [InlineData("/v1/orgs/acme/caches/{cache}/paths?cursor=%00&limit=-1")]
    [InlineData("/v1/orgs/acme/events?action=%00")]
    public async Task Odd_bytes_in_a_query_are_no_fault_of_the_server(string template)
    {
        var cache = await server.CacheAsync();
        using var response = await server.Client.GetAsync(template.Replace("{cache}", cache.Name, StringComparison.Ordinal), CancellationToken);
        using var signedIn = await Slipway.Testing.ApiCalls.CallAsync(
            server.Client, "GET", template.Replace("{cache}", cache.Name, StringComparison.Ordinal), server.World.OwnerToken, null, CancellationToken);
        ((int)signedIn.StatusCode).ShouldBeLessThan(500);
    }

    [Theory]
    [InlineData("401", "", "/nix/acme/{cache}/nar/{zeros52}.nar.zst")]
    [InlineData("401", "Bearer slp_k_nonsense", "/nix/acme/{cache}/nar/{zeros52}.nar.zst")]
    [InlineData("403", "viewer", "/nix/acme/{cache}/nar/{zeros52}.nar.zst")]
    [InlineData("404", "stranger", "/nix/acme/{cache}/nar/{zeros52}.nar.zst")]
    [InlineData("404", "owner", "/nix/acme/{cache}/nar/short.nar.zst")]
    [InlineData("404", "owner", "/nix/acme/absent/nar/{zeros52}.nar.zst")]
    [InlineData("413", "owner", "/nix/acme/{cache}/nar/{zeros52}.nar.zst")]
    [InlineData("413", "owner", "/nix/acme/{cache}/{zeros32}.narinfo")]
    [InlineData("413", "owner", "/nix/acme/{cache}/log/{zeros32}-thing.drv")]
    [InlineData("200", "owner", "/nix/acme/{cache}/nix-cache-info")]
    [InlineData("200", "owner", "/nix/acme/{cache}/{zeros32}.ls")]
    public async Task A_decision_comes_before_100_continue(string expected, string who, string template)
    {
        var cache = await server.CacheAsync();
        var authorization = who switch
        {
            "viewer" => "Bearer " + await server.World.TokenAsync(Testing.Actor.Viewer, null, CancellationToken),
            "stranger" => "Bearer " + await server.World.TokenAsync(Testing.Actor.Stranger, null, CancellationToken),
            "owner" => "Bearer " + server.World.OwnerToken,
            _ => who,
        };
        var target = template.Replace("{cache}", cache.Name, StringComparison.Ordinal)
            .Replace("{zeros52}", new string('0', 52), StringComparison.Ordinal).Replace("{zeros32}", new string('0', 32), StringComparison.Ordinal);
        using var socket = await server.ConnectAsync();
        await AcmeServer.SendAsync(
            socket, $"PUT {target} HTTP/1.1\nHost: x\n{(authorization.Length > 0 ? $"Authorization: {authorization}\n" : "")}Content-Length: 90000000\nExpect: 100-continue\n\n");
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 " + expected);
    }

    private async Task<(TestCache Cache, TestPath Path)> PushedAsync()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        await cache.PushAsync(path);
        return (cache, path);
    }
}
