using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace Slipway.EndToEnd.Tests.BuildCache;

/// <summary>The rules of the HTTP caches that well-behaved clients never test.</summary>
[Collection(BuildTeamCollection.Name)]
public sealed class BuildCacheHttpTests(BuildTeam team)
{
    private static readonly byte[] Small = Encoding.UTF8.GetBytes("some bytes");

    [Fact]
    public async Task Blob_of_any_size_comes_back_and_its_length_is_told_without_it()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        // None at all, small, just small enough for a segment, one more, and a file of several megabytes.
        foreach (var length in (int[])[0, 10, 1 << 20, (1 << 20) + 1, 5_000_000])
        {
            var blob = Bytes(length);
            var url = $"{cache.Url}/cas/{Hex(blob)}";
            (await PutAsync(client, url, blob)).ShouldBe((200, ""), $"{length} bytes");
            (await PutAsync(client, url, blob)).ShouldBe((200, ""), $"{length} bytes again");
            (await client.GetByteArrayAsync(new Uri(url), Token)).ShouldBe(blob);
            using var head = await client.SendAsync(new HttpRequestMessage(HttpMethod.Head, url), Token);
            head.Content.Headers.ContentLength.ShouldBe(length);
            head.Headers.CacheControl!.NoStore.ShouldBeTrue();
        }
    }

    [Fact]
    public async Task Blob_that_is_not_what_its_name_says_is_refused_and_nothing_is_stored()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        foreach (var length in (int[])[10, 3_000_000])
        {
            var url = $"{cache.Url}/cas/{Hex(Bytes(length))}";
            var (status, text) = await PutAsync(client, url, Bytes(length, seed: 9));
            status.ShouldBe(400);
            text.ShouldContain("hash");
            (await StatusAsync(client, url)).ShouldBe(404);
        }

        (await PutAsync(client, $"{cache.Url}/cas/{Hex(Small).ToUpperInvariant()}", Small)).Status.ShouldBe(400);
        (await PutAsync(client, $"{cache.Url}/cas/abc", Small)).Status.ShouldBe(400);
    }

    [Fact]
    public async Task Result_needs_its_outputs_here_and_is_served_while_they_are()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        var action = Hex(Bytes(77));
        var result = ActionResult("out.txt", Small);

        var (early, reason) = await PutAsync(client, $"{cache.Url}/ac/{action}", result);
        early.ShouldBe(400);
        reason.ShouldContain(Hex(Small));
        (await StatusAsync(client, $"{cache.Url}/ac/{action}")).ShouldBe(404);

        (await PutAsync(client, $"{cache.Url}/cas/{Hex(Small)}", Small)).Status.ShouldBe(200);
        (await PutAsync(client, $"{cache.Url}/ac/{action}", result)).Status.ShouldBe(200);
        (await client.GetByteArrayAsync(new Uri($"{cache.Url}/ac/{action}"), Token)).Take(result.Length).ShouldBe(result, "the server adds who stored it, behind what was sent");
        // In a sub-namespace blobs are the cache's, results its own.
        (await StatusAsync(client, $"{cache.Url}/branch/one/ac/{action}")).ShouldBe(404);
        (await StatusAsync(client, $"{cache.Url}/branch/one/cas/{Hex(Small)}")).ShouldBe(200);
    }

    [Fact]
    public async Task What_is_no_result_is_taken_only_where_validation_is_off()
    {
        using var client = team.Server.Client(team.Key);
        var strict = await team.CacheAsync();
        var (status, text) = await PutAsync(client, $"{strict.Url}/ac/{Hex(Small)}", [0xCC, 0xAC, 0x01]);
        status.ShouldBe(400);
        text.ShouldContain("validation");

        var loose = await team.CacheAsync(validateActions: false);
        (await PutAsync(client, $"{loose.Url}/ac/{Hex(Small)}", [0xCC, 0xAC, 0x01])).Status.ShouldBe(200);
        (await client.GetByteArrayAsync(new Uri($"{loose.Url}/ac/{Hex(Small)}"), Token)).ShouldBe([0xCC, 0xAC, 0x01]);
    }

    [Fact]
    public async Task Strangers_and_keys_without_the_right_are_refused_in_words_and_never_with_a_miss()
    {
        var cache = await team.CacheAsync();
        var url = $"{cache.Url}/cas/{Hex(Small)}";
        using var nobody = team.Server.Client();
        using var reader = team.Server.Client(team.ReadOnlyKey);
        using var elsewhere = team.Server.Client(await team.IssueKeyAsync("buildcache:read:acme/other"));

        using var anonymous = await nobody.GetAsync(new Uri(url), Token);
        anonymous.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        anonymous.Headers.WwwAuthenticate.ToString().ShouldStartWith("Basic");
        var (status, text) = await PutAsync(reader, url, Small);
        status.ShouldBe(403);
        text.ShouldContain("buildcache:write");
        (await StatusAsync(elsewhere, url)).ShouldBe(403);
        // A misspelt name would be slow builds and no word about why; of another org's caches nothing can be told at all.
        (await StatusAsync(reader, $"{team.Server.Url}cache/acme/no-such/cas/{Hex(Small)}")).ShouldBe(403);
        (await StatusAsync(reader, $"{team.Server.Url}cache/nobody/no-such/cas/{Hex(Small)}")).ShouldBe(403);
    }

    [Fact]
    public async Task Refusal_comes_before_the_body_is_sent()
    {
        var cache = await team.CacheAsync(maxBlobBytes: 1 << 20);
        using var reader = team.Server.Client(team.ReadOnlyKey);
        using var writer = team.Server.Client(team.Key);
        foreach (var (client, expected) in new[] { (reader, HttpStatusCode.Forbidden), (writer, HttpStatusCode.RequestEntityTooLarge) })
        {
            using var body = new WatchedContent(2 << 20);
            using var request = new HttpRequestMessage(HttpMethod.Put, $"{cache.Url}/gradle/{Hex(Small)}") { Content = body };
            request.Headers.ExpectContinue = true;
            using var answer = await client.SendAsync(request, Token);
            answer.StatusCode.ShouldBe(expected);
            body.WasSent.ShouldBeFalse();
        }
    }

    [Fact]
    public async Task Upload_without_a_length_is_told_to_say_one()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{cache.Url}/ccache/aa/bb") { Content = new ByteArrayContent(Small) };
        request.Headers.TransferEncodingChunked = true;
        using var answer = await client.SendAsync(request, Token);
        answer.StatusCode.ShouldBe(HttpStatusCode.LengthRequired);
    }

    [Fact]
    public async Task Objects_of_different_tools_and_sub_namespaces_do_not_meet()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        (await PutAsync(client, $"{cache.Url}/gradle/one", Small)).Status.ShouldBe(201);

        (await client.GetByteArrayAsync(new Uri($"{cache.Url}/gradle/one"), Token)).ShouldBe(Small);
        foreach (var other in (string[])["ccache/one", "nx/v1/cache/one", "turbo/v8/artifacts/one", "sccache/one", "branch/gradle/one", "gradle/on/e"])
        {
            (await StatusAsync(client, $"{cache.Url}/{other}")).ShouldBe(404, other);
        }
    }

    [Fact]
    public async Task Object_is_replaced_whole_and_can_be_removed()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        var url = $"{cache.Url}/ccache/ab/cdef";
        // Small over large and large over small: they lie in different places.
        foreach (var length in (int[])[100, 2_000_000, 50])
        {
            (await PutAsync(client, url, Bytes(length))).Status.ShouldBe(201);
            (await client.GetByteArrayAsync(new Uri(url), Token)).ShouldBe(Bytes(length));
        }

        (await client.DeleteAsync(new Uri(url), Token)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await client.DeleteAsync(new Uri(url), Token)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await StatusAsync(client, url)).ShouldBe(404);
    }

    [Fact]
    public async Task Nx_artifact_is_never_overwritten()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        (await PutAsync(client, $"{cache.Url}/nx/v1/cache/123", Small)).Status.ShouldBe(200);
        (await PutAsync(client, $"{cache.Url}/nx/v1/cache/123", Bytes(20))).Status.ShouldBe(409);
        (await client.GetByteArrayAsync(new Uri($"{cache.Url}/nx/v1/cache/123"), Token)).ShouldBe(Small);
    }

    [Fact]
    public async Task Turborepo_headers_come_back_queries_are_answered_and_errors_have_its_shape()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        var artifacts = $"{cache.Url}/turbo/v8/artifacts";
        using (var put = new HttpRequestMessage(HttpMethod.Put, $"{artifacts}/0123456789abcdef?slug=acme") { Content = new ByteArrayContent(Small) })
        {
            put.Headers.Add("x-artifact-duration", "1234");
            put.Headers.Add("x-artifact-tag", "signature+/=");
            using var stored = await client.SendAsync(put, Token);
            stored.StatusCode.ShouldBe(HttpStatusCode.Accepted);
        }

        using var got = await client.GetAsync(new Uri($"{artifacts}/0123456789abcdef?teamId=team_1"), Token);
        (await got.Content.ReadAsByteArrayAsync(Token)).ShouldBe(Small);
        got.Headers.GetValues("x-artifact-duration").ShouldBe(["1234"]);
        got.Headers.GetValues("x-artifact-tag").ShouldBe(["signature+/="]);

        using var query = await client.PostAsync(new Uri(artifacts), new StringContent("""{"hashes":["0123456789abcdef","fedcba9876543210"]}"""), Token);
        var found = JsonNode.Parse(await query.Content.ReadAsStringAsync(Token))!;
        found["0123456789abcdef"]!["size"]!.GetValue<long>().ShouldBe(Small.Length);
        found["0123456789abcdef"]!["taskDurationMs"]!.GetValue<long>().ShouldBe(1234);
        found["fedcba9876543210"].ShouldBeNull();

        using var reader = team.Server.Client(team.ReadOnlyKey);
        var (status, text) = await PutAsync(reader, $"{artifacts}/aa", Small);
        status.ShouldBe(403);
        JsonNode.Parse(text)!["error"]!["message"]!.GetValue<string>().ShouldContain("buildcache:ac-write");
    }

    [Fact]
    public async Task Webdav_tells_of_files_that_are_there_and_every_folder_is()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        (await FindAsync("sccache/a/b/")).ShouldSatisfyAllConditions(found => found.Status.ShouldBe(207), found => found.Text.ShouldContain("<D:collection/>"));
        (await FindAsync("sccache/a/b/c")).Status.ShouldBe(404);
        (await PutAsync(client, $"{cache.Url}/sccache/a/b/c", Small)).Status.ShouldBe(201);
        (await FindAsync("sccache/a/b/c")).ShouldSatisfyAllConditions(found => found.Status.ShouldBe(207), found => found.Text.ShouldContain("<D:getcontentlength>10<"));
        (await FindAsync("sccache/", depth: "infinity")).Status.ShouldBe(403);

        async Task<(int Status, string Text)> FindAsync(string path, string depth = "0")
        {
            using var request = new HttpRequestMessage(new HttpMethod("PROPFIND"), $"{cache.Url}/{path}");
            request.Headers.Add("Depth", depth);
            using var answer = await client.SendAsync(request, Token);
            return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync(Token));
        }
    }

    [Fact]
    public async Task Go_output_has_to_be_the_hash_it_is_stored_with()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        var url = $"{cache.Url}/go/{Hex(Bytes(3))}";
        (await PutAsync(Hex(Bytes(4)))).ShouldBe(HttpStatusCode.BadRequest);
        (await StatusAsync(client, url)).ShouldBe(404);
        (await PutAsync(Hex(Small))).ShouldBe(HttpStatusCode.Created);
        using var got = await client.GetAsync(new Uri(url), Token);
        got.Headers.GetValues("X-Go-Output-Id").ShouldBe([Hex(Small)]);

        async Task<HttpStatusCode> PutAsync(string output)
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, url) { Content = new ByteArrayContent(Small) };
            request.Headers.Add("X-Go-Output-Id", output);
            using var answer = await client.SendAsync(request, Token);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Upload_that_was_cut_leaves_nothing()
    {
        var cache = await team.CacheAsync();
        using var client = team.Server.Client(team.Key);
        var blob = Bytes(4_000_000);
        using var body = new CutContent(blob, at: 3_000_000);
        await Should.ThrowAsync<HttpRequestException>(() => client.PutAsync(new Uri($"{cache.Url}/cas/{Hex(blob)}"), body, Token));

        (await StatusAsync(client, $"{cache.Url}/cas/{Hex(blob)}")).ShouldBe(404);
        (await PutAsync(client, $"{cache.Url}/cas/{Hex(blob)}", blob)).Status.ShouldBe(200);
    }

    [Fact]
    public async Task Revoked_key_ends_an_upload_that_is_under_way()
    {
        var cache = await team.CacheAsync();
        var (secret, id) = await team.IssueKeyWithIdAsync("buildcache:read:acme/*", "buildcache:write:acme/*");
        var blob = Bytes(4_000_000);
        // By hand: HttpClient looks for an answer only when it has sent all of a body.
        using var connection = new TcpClient();
        await connection.ConnectAsync("127.0.0.1", team.Server.Port, Token);
        var stream = connection.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"PUT {cache.Url.AbsolutePath}/cas/{Hex(blob)} HTTP/1.1\r\nHost: slipway\r\nAuthorization: Bearer {secret}\r\nContent-Length: {blob.Length}\r\n\r\n"), Token);
        await stream.WriteAsync(blob.AsMemory(0, 2_000_000), Token);

        await team.RevokeKeyAsync(id);

        // Within a second, and what a loaded machine takes.
        using var reader = new StreamReader(stream, Encoding.ASCII);
        (await reader.ReadLineAsync(Token).AsTask().WaitAsync(TimeSpan.FromSeconds(10), Token)).ShouldBe("HTTP/1.1 401 Unauthorized");
        using var other = team.Server.Client(team.Key);
        (await StatusAsync(other, $"{cache.Url}/cas/{Hex(blob)}")).ShouldBe(404);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static byte[] Bytes(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static string Hex(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

    private static async Task<(int Status, string Text)> PutAsync(HttpClient client, string url, byte[] body)
    {
        using var answer = await client.PutAsync(new Uri(url), new ByteArrayContent(body), Token);
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync(Token));
    }

    private static async Task<int> StatusAsync(HttpClient client, string url)
    {
        using var answer = await client.GetAsync(new Uri(url), Token);
        return (int)answer.StatusCode;
    }

    /// <summary>ActionResult {output_files 2 {path 1, digest 2 {hash 1, size 2}}}, of files under 100 bytes.</summary>
    private static byte[] ActionResult(string path, byte[] output)
    {
        byte[] digest = [0x0A, 64, .. Encoding.ASCII.GetBytes(Hex(output)), 0x10, (byte)output.Length];
        byte[] file = [0x0A, (byte)path.Length, .. Encoding.ASCII.GetBytes(path), 0x12, (byte)digest.Length, .. digest];
        return [0x12, (byte)file.Length, .. file];
    }

    /// <summary>A body that tells whether anybody asked for it.</summary>
    private sealed class WatchedContent : HttpContent
    {
        private readonly int length;

        public WatchedContent(int length) => this.length = length;

        public bool WasSent { get; private set; }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            WasSent = true;
            return stream.WriteAsync(new byte[length]).AsTask();
        }

        protected override bool TryComputeLength(out long computed)
        {
            computed = length;
            return true;
        }
    }

    /// <summary>A body whose sender dies on the way.</summary>
    private sealed class CutContent(byte[] bytes, int at) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(bytes.AsMemory(0, at));
            await stream.FlushAsync();
            throw new IOException("the sender dies");
        }

        protected override bool TryComputeLength(out long length)
        {
            length = bytes.Length;
            return true;
        }
    }
}
