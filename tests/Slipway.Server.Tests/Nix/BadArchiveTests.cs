using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Api;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Nix;

/// <summary>Push archives that are malformed, cut, raced, or somebody else's.</summary>
public sealed class BadArchiveTests(AcmeServer server) : IClassFixture<AcmeServer>
{
    public static TheoryData<string, string> Attacks => new()
    {
        { "bad magic", "not a push archive" },
        { "empty", "not a push archive" },
        { "cut in the length", "middle" },
        { "cut in the entry", "middle" },
        { "cut in a chunk", "middle" },
        { "cut before the last chunk", "middle" },
        { "oversized entry", "over the limit" },
        { "oversized chunk", "over the limit" },
        { "entry that is no JSON", "malformed" },
        { "entry that is null", "malformed" },
        { "entry without fields", "malformed" },
        { "entry with an unknown field", "malformed" },
        { "entry with two lines in one field", "malformed" },
        { "wrong NarHash", "NarHash" },
        { "missing reference", "push them first" },
        { "unknown compression", "ompression" },
        { "garbage NAR", "" },
        { "bomb", "larger" },
    };

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Attacks))]
    public async Task A_bad_archive_fails_with_its_reason_and_leaves_nothing(string attack, string reason)
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        var id = await OpenAsync(cache, server.Key);
        (await AppendAsync(cache, id, 0, Make(attack, path), complete: true)).ShouldBe(202);
        var finished = await FinishedAsync(cache, id);
        finished.Text("state").ShouldBe("failed", finished.ToJsonString());
        finished["problem"]!.AsObject().Text("detail").ShouldContain(reason);
        await cache.ShouldLackAsync(path);
        await server.ShouldBeSoundAsync(archive: id);
    }

    [Fact]
    public async Task An_archive_is_only_its_owners()
    {
        var cache = await server.CacheAsync();
        var id = await OpenAsync(cache, server.Key);
        var other = (await server.World.TokenAsync(Actor.Member, null, CancellationToken))!;
        var archive = Archive(TestPath.Fresh());
        (await AppendAsync(cache, id, 0, archive, complete: true, other)).ShouldBe(404);
        using var seen = await server.Client.CallAsync("GET", $"{cache.Api}/archives/{id}", other, null, CancellationToken);
        ((int)seen.StatusCode).ShouldBe(404);
        // In another cache it is nobody's.
        (await AppendAsync(await server.CacheAsync(), id, 0, archive, complete: true)).ShouldBe(404);
        // The same resume key of somebody else is another archive.
        (await OpenAsync(cache, other)).ShouldNotBe(id);
        (await OpenAsync(cache, server.Key)).ShouldBe(id);
        await server.Client.JsonAsync("GET", $"{cache.Api}/archives/{id}", server.Key, null, CancellationToken);
    }

    [Fact]
    public async Task A_cut_upload_goes_on_where_it_stopped_and_may_be_completed_twice()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        var archive = Archive(path);
        var id = await OpenAsync(cache, server.Key);
        using (var socket = await server.ConnectAsync())
        {
            await AcmeServer.SendAsync(
                socket, $"PATCH {cache.Api}/archives/{id}/content HTTP/1.1\nHost: x\nAuthorization: Bearer {server.Key}\nUpload-Offset: 0\nUpload-Complete: ?1\nContent-Length: {archive.Length}\n\n");
            await socket.SendAsync(archive.AsMemory(0, 100), CancellationToken);
            await Eventually.TrueAsync(() => server.Leftovers().Any(file => file.EndsWith(id, StringComparison.Ordinal) && new FileInfo(file).Length == 100), CancellationToken);
            // A second writer is refused while the first one lives.
            (await AppendAsync(cache, id, 100, archive[100..], complete: true)).ShouldBe(409);
            socket.LingerState = new LingerOption(true, 0);
        }

        await cache.ShouldLackAsync(path);
        await Eventually.TrueAsync(async _ => await AppendAsync(cache, id, 0, archive, complete: true) == 409, CancellationToken);
        (await AppendAsync(cache, id, 101, archive[101..], complete: true)).ShouldBe(409);
        (await server.Client.JsonAsync("GET", $"{cache.Api}/archives/{id}", server.Key, null, CancellationToken))["offset"]!.GetValue<long>().ShouldBe(100);
        await Eventually.TrueAsync(async _ => await AppendAsync(cache, id, 100, archive[100..], complete: true) == 202, CancellationToken);
        (await AppendAsync(cache, id, 100, archive[100..], complete: true)).ShouldBe(202);
        (await FinishedAsync(cache, id)).Text("state").ShouldBe("done");
        (await AppendAsync(cache, id, archive.Length, [], complete: true)).ShouldBe(202);
        (await AppendAsync(cache, id, archive.Length, [1], complete: false)).ShouldBe(409);
        (await cache.StatusAsync($"{path.Hash}.narinfo")).ShouldBe(200);
        await server.ShouldBeSoundAsync(archive: id);
    }

    [Theory]
    [InlineData(null, 400)]
    [InlineData("-1", 400)]
    [InlineData("0x10", 400)]
    [InlineData("99999999999999999999", 400)]
    [InlineData("9223372036854775807", 413)]
    [InlineData("5", 409)]
    public async Task A_wrong_offset_is_refused(string? offset, int expected)
    {
        var cache = await server.CacheAsync();
        var id = await OpenAsync(cache, server.Key);
        (string, string)[] headers = offset is null ? [] : [("Upload-Offset", offset)];
        using var response = await server.Client.CallAsync("PATCH", $"{cache.Api}/archives/{id}/content", server.Key, "junk", CancellationToken, headers);
        ((int)response.StatusCode).ShouldBe(expected);
    }

    [Theory]
    [InlineData("""{"resumeKey":"","paths":1}""")]
    [InlineData("""{"resumeKey":"a","paths":0}""")]
    [InlineData("""{"resumeKey":"a","paths":10001}""")]
    [InlineData("""{"resumeKey":null,"paths":1}""")]
    [InlineData("""{"paths":1}""")]
    [InlineData("{\"resumeKey\":\"a\\u0000b\",\"paths\":1}")]
    public async Task A_malformed_opening_is_400(string body)
    {
        var cache = await server.CacheAsync();
        using var response = await server.Client.CallAsync("POST", cache.Api + "/archives", server.Key, body, CancellationToken);
        ((int)response.StatusCode).ShouldBe(400);
    }

    [Fact]
    public async Task The_same_archive_again_adds_nothing()
    {
        var cache = await server.CacheAsync();
        var first = TestPath.Fresh();
        var second = TestPath.Fresh(first);
        foreach (var added in (int[])[2, 0])
        {
            var id = await OpenAsync(cache, server.Key, paths: 2);
            (await AppendAsync(cache, id, 0, Archive(first, second), complete: true)).ShouldBe(202);
            var finished = await FinishedAsync(cache, id);
            finished.Text("state").ShouldBe("done", finished.ToJsonString());
            finished["pathsAdded"]!.GetValue<int>().ShouldBe(added);
        }

        (await server.Client.JsonAsync("POST", "/v1/stores/default/fsck?deep=true", server.World.SuperuserToken, null, CancellationToken))["clean"]!.GetValue<bool>().ShouldBeTrue();
    }

    [Fact]
    public async Task An_archive_over_the_limit_is_refused_before_its_body()
    {
        var cache = await server.CacheAsync();
        var id = await OpenAsync(cache, server.Key);
        using var socket = await server.ConnectAsync();
        await AcmeServer.SendAsync(
            socket, $"PATCH {cache.Api}/archives/{id}/content HTTP/1.1\nHost: x\nAuthorization: Bearer {server.Key}\nUpload-Offset: 0\nContent-Length: {(4 << 20) + 1}\nExpect: 100-continue\n\n");
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 413");
    }

    [Fact]
    public async Task A_member_removed_while_uploading_does_not_complete_the_archive()
    {
        var cache = await server.CacheAsync();
        var user = await server.World.AddMemberAsync("member", CancellationToken);
        var session = await server.World.SignInAsync(user, CancellationToken);
        var id = await OpenAsync(cache, session);
        var path = TestPath.Fresh();
        var archive = Archive(path);
        using var socket = await server.ConnectAsync();
        await AcmeServer.SendAsync(
            socket, $"PATCH {cache.Api}/archives/{id}/content HTTP/1.1\nHost: x\nAuthorization: Bearer {session}\nUpload-Offset: 0\nUpload-Complete: ?1\nContent-Length: {archive.Length}\nExpect: 100-continue\n\n");
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 100");
        (await server.Client.CallAsync("DELETE", "/v1/orgs/acme/members/" + user, server.World.OwnerToken, null, CancellationToken)).EnsureSuccessStatusCode();
        await socket.SendAsync(archive, CancellationToken);
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 404");
        await cache.ShouldLackAsync(path);
    }

    private async Task<string> OpenAsync(TestCache cache, string token, int paths = 1) =>
        (await server.Client.JsonAsync("POST", cache.Api + "/archives", token, $$"""{"resumeKey":"bundle","paths":{{paths}}}""", CancellationToken)).Text("id");

    private async Task<int> AppendAsync(TestCache cache, string id, long offset, byte[] bytes, bool complete, string? token = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Patch, $"{cache.Api}/archives/{id}/content") { Content = new ByteArrayContent(bytes) };
        request.Headers.Authorization = new("Bearer", token ?? server.Key);
        request.Headers.Add("Upload-Offset", offset.ToString(System.Globalization.CultureInfo.InvariantCulture));
        request.Headers.Add("Upload-Complete", complete ? "?1" : "?0");
        using var response = await server.Client.SendAsync(request, CancellationToken);
        return (int)response.StatusCode;
    }

    private Task<JsonObject> FinishedAsync(TestCache cache, string id) =>
        Eventually.ValueAsync(
            async token => await server.Client.JsonAsync("GET", $"{cache.Api}/archives/{id}?wait=30", server.Key, null, token) is var archive && archive.Text("state") is "done" or "failed" ? archive : null,
            CancellationToken);

    private static byte[] Archive(params TestPath[] paths) => [.. ArchiveFormat.Magic, .. paths.SelectMany(path => Entry(Json(path), path.Nar.Bytes))];

    private static string Json(TestPath path) => JsonSerializer.Serialize(
        new ArchiveEntry(path.StorePath, path.NarHash, path.Nar.Nar.Length, [.. path.References.Select(reference => reference.StorePath)], null, null, [], path.Nar.Compression),
        ApiJson.Default.ArchiveEntry);

    private static byte[] Entry(string json, byte[] nar)
    {
        var text = Encoding.UTF8.GetBytes(json);
        return [.. Length(text.Length), .. text, .. Length(nar.Length), .. nar, .. Length(0)];
    }

    private static byte[] Length(long value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)value);
        return bytes;
    }

    private static byte[] Make(string attack, TestPath path)
    {
        var good = Archive(path);
        var json = Json(path);
        var nar = path.Nar.Bytes;
        byte[] Of(byte[] rest) => [.. ArchiveFormat.Magic, .. rest];
        return attack switch
        {
            "bad magic" => [.. "slipway-archive-2\n"u8, .. good[18..]],
            "empty" => [],
            "cut in the length" => good[..20],
            "cut in the entry" => good[..50],
            "cut in a chunk" => good[..^20],
            "cut before the last chunk" => good[..^4],
            "oversized entry" => Of([.. Length(ArchiveFormat.MaxEntryBytes + 1), .. good[22..]]),
            "oversized chunk" => Of([.. Length(json.Length), .. Encoding.UTF8.GetBytes(json), .. Length(uint.MaxValue), .. nar]),
            "entry that is no JSON" => Of(Entry("junk", nar)),
            "entry that is null" => Of(Entry("null", nar)),
            "entry without fields" => Of(Entry("{}", nar)),
            "entry with an unknown field" => Of(Entry(json[..^1] + ",\"more\":1}", nar)),
            "entry with two lines in one field" => Of(Entry(json.Replace("\"compression\":\"zstd\"", "\"compression\":\"zstd\\nNarSize: 1\"", StringComparison.Ordinal), nar)),
            "wrong NarHash" => Of(Entry(json.Replace(path.NarHash, TestPath.Fresh().NarHash, StringComparison.Ordinal), nar)),
            "missing reference" => Of(Entry(Json(path with { References = [TestPath.Fresh()] }), nar)),
            "unknown compression" => Of(Entry(json.Replace("zstd", "lzma9", StringComparison.Ordinal), nar)),
            "garbage NAR" => Of(Entry(json, [1, 2, 3, 4])),
            "bomb" => Of(Entry(json, NarFile.Compress(Nars.Archive(Nars.Plain(new byte[3 << 20]))))),
            _ => throw new ArgumentOutOfRangeException(nameof(attack), attack, null),
        };
    }
}
