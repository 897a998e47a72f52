using System.Text;
using Shouldly;
using Xunit;

namespace Slipway.Server.Tests.Nix;

/// <summary>NARs no client should send: each is refused with a final 4xx that says why, and nothing of it stays.</summary>
public sealed class BadNarTests(AcmeServer server) : IClassFixture<AcmeServer>
{
    /// <summary>A NAR of 3 MiB of zeros, three times the limit of this server, in 0.7 kB.</summary>
    private static readonly byte[] XzBomb = Convert.FromBase64String(
        "/Td6WFoAAAD/EtlBAgAhARwAAAAQz1jM//9sAaRdAAaANh/vps6/droaek8r6qRTJO2hIwRx/1u/l2m68ym+JEmkcF2PMAtHKBMzvRezszyuOXnkqzhAfJoyNWKiaxlcHUMc4pfAuIoDtnm1tU+nUEboiZ6Jfd/dqeAAh+yZhGUZcFa76OoPVsL8Ghng1NjGVgDsk5GCNtfsO1N8GPvXAx8PEHBujUVgkXK92Y7nTCuV+Uf6TudS4pIGVhmeRJ7i0uRG9lTwiHUsMNvCUFSRIpcGA1/JcDsUwDI3mKUVAaXoowkq7Kr/WiascgwWkqe+OY8k4XCepyNf7CjLhdGVmIp+KpHyJ3X3GcAGmE2Y/div1ZAPxCVT+PWRNjEFpbDub8FwTUcM0ZERqq1gHbrOsScYXFmG6WZSWL7pdqxZ5OVbBQj5x9qt/PtSK3TNHlsgQvndUz34KWQJO4DLKmzftTvwxL0uX6oPPktmQpATDv8Qk/hxeFn4C83/lShGD6n8fN77mjAuVsCPhfODgcBlxCVT+PWRNjEFpbDub8FwTUcM0ZERqq1gHbrOsScYXFmG6WZSWL7pdqxZ5OVbBQj5DEVB+ZABAgCfAOxzU6f9vq58MRqft40xbnCepyNf7CjLhdGVmIp+KpHyJ3X3GcAGmE2Y/div1ZAPxCVT+PWRNjEFpbDub8FwTUcM0ZERqq1gHbrOsScYXFmG6WZSWL7pdqxZ5OVbBQj5x9qt/PtSK3TNHlsgQvndUz34KWQJO4DLKmzftTvwxL0uX6oPPktmQpATDv8Qk/hxeFn4C8yxvepImKcJyA6RGgAAAAAAAd0E8IDAAROX20OoAAr8AgAAAAAAWVo=");

    private static readonly byte[] Bzip2Bomb = Convert.FromBase64String(
        "QlpoOTFBWSZTWYPcV0kAYH5ZgOzCAGJgACrl32AACCAAdQklNA0ABpoeoCpVDTT2qaaANAepxtWC1VVrhIBOGewggJ61SJIACmyQJAAKDAZMMsnho0qLK+3h7GU/Hi+ON/rbVmv9dh0CQCfxdyRThQkIPcV0kA==");

    /// <summary>Its header asks for a dictionary of 256 MiB.</summary>
    private static readonly byte[] XzWithHugeDictionary = Convert.FromBase64String(
        "/Td6WFoAAATm1rRGAgAhASAAAAAJiKV2AQAhU2xpcHdheSBjYXJyaWVzIG1hbnkgc21hbGwgcGF0aHMuCgAAAEiIFgcAMxbCAAE6IrYqT9AftvN9AQAAAAAEWVo=");

    /// <summary>A frame header with a window of 2 GiB (RFC 8878, 3.1.1.1.2), then a block.</summary>
    private static readonly byte[] ZstdWithHugeWindow = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];

    private static readonly byte[] Good = Nars.Archive(Nars.Plain("hello"));

    public static TheoryData<string, int, string> Attacks => new()
    {
        { "empty", 400, "" },
        { "no NAR", 400, "" },
        { "truncated NAR", 400, "" },
        { "truncated frame", 400, "middle" },
        { "truncated xz", 400, "" },
        { "garbage after the NAR", 400, "" },
        { "garbage after the frame", 400, "" },
        { "a second NAR after the first", 400, "" },
        { "padding that is not zero", 400, "" },
        { "names out of order", 400, "order" },
        { "the same name twice", 400, "" },
        { "name ..", 400, ".." },
        { "name .", 400, "" },
        { "name with a slash", 400, "" },
        { "name with a NUL", 400, "" },
        { "no name", 400, "" },
        { "string of 2^63 bytes", 400, "" },
        { "nested too deep", 400, "" },
        { "xz with a huge dictionary", 400, "" },
        { "zstd with a huge window", 400, "" },
        { "zstd bomb", 413, "larger" },
        { "xz bomb", 413, "larger" },
        { "bzip2 bomb", 413, "larger" },
        { "zstd that is called xz", 400, "" },
    };

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Attacks))]
    public async Task A_bad_NAR_is_refused_and_leaves_nothing(string attack, int expected, string reason)
    {
        var cache = await server.CacheAsync();
        var nar = Make(attack);
        var (status, said) = await cache.PutNarAsync(nar);
        status.ShouldBe(expected, said);
        said.ShouldContain(reason);
        said.Length.ShouldBeInRange(10, 500);
        (await cache.StatusAsync(nar.Url)).ShouldBe(404);
        (await cache.PutNarInfoAsync(TestPath.Of(nar), TestPath.Of(nar).NarInfo())).Status.ShouldBe(400);
        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task A_good_NAR_is_taken_in_every_form()
    {
        var cache = await server.CacheAsync();
        foreach (var nar in (NarFile[])[NarFile.Plain(Good), NarFile.Zstd(Good), new([.. NarFile.Compress(Good.AsSpan(0, 20)), 0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9, .. NarFile.Compress(Good.AsSpan(20))], Good, "zstd")])
        {
            var path = TestPath.Of(nar);
            await cache.PushAsync(path);
            (await cache.ReadAsync($"{path.Hash}.narinfo")).ShouldContain($"NarHash: {path.NarHash}\n");
        }

        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task Bytes_under_the_hash_of_others_are_refused()
    {
        var cache = await server.CacheAsync();
        var (good, other) = (NarFile.Zstd(Good), NarFile.Plain(Good));
        var (status, said) = await cache.PutAsync(good.UrlOf(other.FileHash), good.Bytes);
        status.ShouldBe(400);
        said.ShouldContain("hash");
        (await cache.StatusAsync(good.UrlOf(other.FileHash))).ShouldBe(404);
        (await cache.StatusAsync(good.Url)).ShouldBe(404);
        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task A_refusal_in_the_middle_of_a_large_body_reaches_a_client_that_goes_on_sending()
    {
        var cache = await server.CacheAsync();
        var junk = new byte[900_000];
        var (status, said) = await cache.PutAsync(NarFile.Plain(junk).Url, junk);
        status.ShouldBe(400, said);
        said.ShouldNotBeEmpty();
        await server.ShouldBeSoundAsync();
    }

    [Theory]
    [InlineData("3MiB and more", 3 << 20 | 1)]
    [InlineData("what would overflow", long.MaxValue)]
    public async Task A_NAR_over_the_limit_is_refused_before_100_continue(string what, long length)
    {
        var cache = await server.CacheAsync();
        using var socket = await server.ConnectAsync();
        await AcmeServer.SendAsync(
            socket, $"PUT {cache.Url}/nar/{new string('0', 52)}.nar.zst HTTP/1.1\nHost: x\nAuthorization: Bearer {server.Key}\nContent-Length: {length}\nExpect: 100-continue\n\n");
        (await RunningServer.ReadAsync(socket, "\r\n\r\n")).Answer.ShouldStartWith("HTTP/1.1 413", customMessage: what);
    }

    [Fact]
    public async Task Skippable_frames_do_not_smuggle_more_than_the_limit_into_the_store()
    {
        var cache = await server.CacheAsync();
        var padding = new byte[(4 << 20) + 8];
        byte[] header = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0x40, 0];
        header.CopyTo(padding, 0);
        var nar = new NarFile([.. NarFile.Compress(Good), .. padding], Good, "zstd");
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{cache.Url}/{nar.Url}") { Content = new StreamContent(new MemoryStream(nar.Bytes)) };
        request.Headers.Authorization = new("Bearer", server.Key);
        // No length to refuse it by.
        request.Headers.TransferEncodingChunked = true;
        using var response = await server.Client.SendAsync(request, CancellationToken);
        ((int)response.StatusCode).ShouldBe(413);
        await server.ShouldBeSoundAsync();
    }

    private static NarFile Make(string attack) => attack switch
    {
        "empty" => NarFile.Plain([]),
        "no NAR" => NarFile.Zstd(Encoding.ASCII.GetBytes("this is no NAR, and long enough to tell")),
        "truncated NAR" => NarFile.Zstd(Good[..^16]),
        "truncated frame" => NarFile.Zstd(Good) with { Bytes = NarFile.Compress(Good)[..^6] },
        "truncated xz" => new NarFile(XzBomb[..60], Good, "xz"),
        "garbage after the NAR" => NarFile.Zstd([.. Good, .. new byte[8]]),
        "garbage after the frame" => NarFile.Zstd(Good) with { Bytes = [.. NarFile.Compress(Good), 1, 2, 3, 4, 5] },
        "a second NAR after the first" => NarFile.Zstd([.. Good, .. Good]),
        "padding that is not zero" => NarFile.Zstd([.. Good[..21], 1, .. Good[22..]]),
        "names out of order" => Folder("b", "a"),
        "the same name twice" => Folder("a", "a"),
        "name .." => Folder(".."),
        "name ." => Folder("."),
        "name with a slash" => Folder("a/../../etc"),
        "name with a NUL" => Folder("a\0b"),
        "no name" => Folder(""),
        "string of 2^63 bytes" => NarFile.Zstd([.. Good[..24], 0, 0, 0, 0, 0, 0, 0, 0x80, .. Good[32..]]),
        "nested too deep" => NarFile.Zstd(Nars.Archive(Nars.Nested(4_000))),
        "xz with a huge dictionary" => new NarFile(XzWithHugeDictionary, Good, "xz"),
        "zstd with a huge window" => new NarFile(ZstdWithHugeWindow, Good, "zstd"),
        "zstd bomb" => NarFile.Zstd(Nars.Archive(Nars.Plain(new byte[3 << 20]))),
        "xz bomb" => new NarFile(XzBomb, Good, "xz"),
        "bzip2 bomb" => new NarFile(Bzip2Bomb, Good, "bzip2"),
        "zstd that is called xz" => NarFile.Zstd(Good) with { Compression = "xz" },
        _ => throw new ArgumentOutOfRangeException(nameof(attack), attack, null),
    };

    private static NarFile Folder(params string[] names) => NarFile.Zstd(Nars.Archive(Nars.Folder([.. names.Select(name => ((object)name, Nars.Plain("x")))])));
}
