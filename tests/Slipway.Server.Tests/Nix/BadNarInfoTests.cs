using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Nix;

/// <summary>Narinfos are claims. One that is wrong makes no path; what is right of it is written anew by the server.</summary>
public sealed class BadNarInfoTests(AcmeServer server) : IClassFixture<AcmeServer>
{
    private static readonly string Signature = Convert.ToBase64String(new byte[64]);

    public static TheoryData<string, int, string> Attacks => new()
    {
        { "wrong NarHash", 400, "NarHash" },
        { "wrong NarSize", 400, "NarSize" },
        { "NarSize 0", 400, "NarSize" },
        { "NarSize beyond 64 bits", 400, "NarSize" },
        { "another path", 400, "another path" },
        { "missing reference", 400, "push them first" },
        { "reference that is no path", 400, "reference" },
        { "undeclared reference", 400, "--reference-check record" },
        { "wrong CA", 400, "CA" },
        { "CA of other contents", 400, "CA" },
        { "malformed CA", 400, "CA" },
        { "malformed Sig", 400, "Sig" },
        { "short Sig", 400, "Sig" },
        { "CRLF", 400, "line feeds only" },
        { "no last line feed", 400, "line feed" },
        { "control character", 400, "control character" },
        { "StorePath twice", 400, "second time" },
        { "StorePath outside the store", 400, "StorePath" },
        { "StorePath with ..", 400, "StorePath" },
        { "URL of a NAR nobody sent", 400, "has not been uploaded" },
        { "URL with ..", 400, "does not name a NAR" },
        { "no NarHash", 400, "NarHash" },
        { "empty", 400, "empty" },
        { "not text", 400, "" },
        { "3 MiB", 413, "" },
        { "gzip bomb", 413, "" },
        { "broken gzip", 400, "" },
        { "broken brotli", 400, "" },
        { "broken deflate", 400, "" },
        { "unknown encoding", 415, "Content-Encoding" },
    };

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Attacks))]
    public async Task A_bad_narinfo_makes_no_path(string attack, int expected, string reason)
    {
        var cache = await server.CacheAsync();
        var other = TestPath.Fresh();
        await cache.PushAsync(other);
        var path = attack == "undeclared reference" ? TestPath.Fresh(other) : TestPath.Fresh();
        (await cache.PutNarAsync(path.Nar)).Status.ShouldBe(201);
        var (body, encoding) = Make(attack, path, other);
        (string, string)[] headers = encoding is null ? [] : [("Content-Encoding", encoding)];
        var (status, said) = await cache.PutAsync($"{path.Hash}.narinfo", body, null, headers);
        status.ShouldBe(expected, said);
        said.ShouldContain(reason);
        await cache.ShouldLackAsync(path);
        // The refusal spoils nothing: the right narinfo is taken afterwards.
        (await cache.PutNarInfoAsync(path, path.NarInfo())).Status.ShouldBe(201);
        await server.ShouldBeSoundAsync();
    }

    [Fact]
    public async Task Undeclared_references_are_recorded_where_the_cache_says_so()
    {
        var cache = await server.CacheAsync(referenceCheck: "record");
        var other = TestPath.Fresh();
        await cache.PushAsync(other);
        var path = TestPath.Fresh(other);
        await cache.PushAsync(path, "References: ");
        (await cache.ShowAsync(path))["undeclaredReferences"]!.AsArray().Select(node => node!.GetValue<string>()).ShouldBe([other.Hash]);
        (await cache.ReadAsync($"{path.Hash}.narinfo")).ShouldContain("\nReferences: \n");
    }

    [Fact]
    public async Task Only_the_server_signs_with_its_keys_and_signatures_of_others_stay()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        var foreign = "builder-1:" + Signature;
        var keyName = (await server.Client.JsonAsync("GET", cache.Api + "/signing-keys", server.Key, null, CancellationToken))["items"]![0]!.AsObject().Text("name");
        await cache.PushAsync(path, $"Sig: {keyName}:{Signature}", "Sig: " + foreign, $"Sig: {keyName[..^1]}7:{Signature}");
        var signatures = (await cache.ReadAsync($"{path.Hash}.narinfo")).Split('\n').Where(line => line.StartsWith("Sig: ", StringComparison.Ordinal)).ToList();
        signatures.Count.ShouldBe(2);
        signatures.ShouldContain("Sig: " + foreign);
        signatures.ShouldContain(line => line.StartsWith($"Sig: {keyName}:", StringComparison.Ordinal) && !line.EndsWith(Signature, StringComparison.Ordinal));
        // And again, on a path that is there.
        (await cache.PutNarInfoAsync(path, path.NarInfo($"Sig: {keyName}:{Signature}", "Sig: builder-2:" + Signature))).Status.ShouldBe(201);
        (await cache.ReadAsync($"{path.Hash}.narinfo")).Split('\n').Count(line => line.StartsWith("Sig: ", StringComparison.Ordinal)).ShouldBe(3);
        (await cache.ReadAsync($"{path.Hash}.narinfo")).ShouldNotContain($"{keyName}:{Signature}");
    }

    [Fact]
    public async Task What_the_client_says_of_the_file_is_not_believed()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        await cache.PushAsync(
            path, "URL: https://evil.example/" + path.Nar.Url, "Compression: none", "FileHash: " + path.NarHash, "FileSize: 999", "Unknown: key");
        var served = await cache.ReadAsync($"{path.Hash}.narinfo");
        served.ShouldContain($"\nURL: {path.Nar.Url}\n");
        served.ShouldContain("\nCompression: zstd\n");
        served.ShouldContain($"\nFileHash: sha256:{path.Nar.FileHash}\n");
        served.ShouldContain($"\nFileSize: {path.Nar.Bytes.Length}\n");
        served.ShouldNotContain("Unknown");
    }

    [Fact]
    public async Task The_first_push_of_a_path_stays()
    {
        var cache = await server.CacheAsync();
        var path = TestPath.Fresh();
        await cache.PushAsync(path);
        var served = await cache.ReadAsync($"{path.Hash}.narinfo");
        var usurper = path with { Nar = TestPath.Fresh().Nar };
        (await cache.PutNarAsync(usurper.Nar)).Status.ShouldBe(201);
        (await cache.PutNarInfoAsync(usurper, usurper.NarInfo())).ShouldSatisfyAllConditions(
            answer => answer.Status.ShouldBe(409), answer => answer.Text.ShouldContain("slipway path rm"));
        // Another name is another path, which can't have this hash; other references are another closure.
        (await cache.PutNarInfoAsync(path, path.NarInfo($"StorePath: /nix/store/{path.Hash}-other"))).Status.ShouldBe(409);
        (await cache.PutNarInfoAsync(path, path.NarInfo($"References: {path.BaseName}"))).Status.ShouldBe(409);
        (await cache.PutNarInfoAsync(path, path.NarInfo())).Status.ShouldBe(201);
        (await cache.ReadAsync($"{path.Hash}.narinfo")).ShouldBe(served);
        await server.ShouldBeSoundAsync();
    }

    [Theory]
    [InlineData("junk", 400)]
    [InlineData("[]", 400)]
    [InlineData("{}", 400)]
    [InlineData("""{"id":1,"outPath":2}""", 400)]
    [InlineData("""{"id":"sha256:0000000000000000000000000000000000000000000000000000000000000000!other","outPath":"x"}""", 400)]
    [InlineData("""{"id":"sha256:0000000000000000000000000000000000000000000000000000000000000000!out","outPath":"../../etc/passwd"}""", 400)]
    [InlineData("""{"id":"sha256:0000000000000000000000000000000000000000000000000000000000000000!out","outPath":"00000000000000000000000000000000-absent"}""", 400)]
    public async Task A_realisation_may_only_name_a_path_that_is_there(string body, int expected)
    {
        var cache = await server.CacheAsync();
        var file = $"realisations/sha256:{new string('0', 64)}!out.doi";
        (await cache.PutAsync(file, Encoding.UTF8.GetBytes(body))).Status.ShouldBe(expected);
        (await cache.StatusAsync(file)).ShouldBe(404);
    }

    private static (byte[] Body, string? Encoding) Make(string attack, TestPath path, TestPath other)
    {
        static byte[] Compressed(Func<Stream, Stream> wrap, byte[] content)
        {
            var result = new MemoryStream();
            using (var compressor = wrap(result))
            {
                compressor.Write(content);
            }

            return result.ToArray();
        }

        switch (attack)
        {
            case "not text":
                return (RandomNumberGenerator.GetBytes(500), null);
            case "3 MiB":
                return (Encoding.ASCII.GetBytes(path.NarInfo("Padding: " + new string('x', 3 << 20))), null);
            case "gzip bomb":
                return (Compressed(stream => new GZipStream(stream, CompressionLevel.Fastest), new byte[3 << 20]), "gzip");
            case "broken gzip":
                return (Encoding.ASCII.GetBytes(path.NarInfo()), "gzip");
            case "broken brotli":
                return (Encoding.ASCII.GetBytes(path.NarInfo()), "br");
            case "broken deflate":
                return (Encoding.ASCII.GetBytes(path.NarInfo()), "deflate");
            case "unknown encoding":
                return (Encoding.ASCII.GetBytes(path.NarInfo()), "zip");
        }

        return (Encoding.ASCII.GetBytes(attack switch
        {
            "wrong NarHash" => path.NarInfo("NarHash: " + other.NarHash),
            "wrong NarSize" => path.NarInfo($"NarSize: {path.Nar.Nar.Length + 1}"),
            "NarSize 0" => path.NarInfo("NarSize: 0"),
            "NarSize beyond 64 bits" => path.NarInfo("NarSize: 99999999999999999999"),
            "another path" => path.NarInfo("StorePath: /nix/store/" + TestPath.FreshHash() + "-thing"),
            "missing reference" => path.NarInfo("References: " + TestPath.FreshHash() + "-absent"),
            "reference that is no path" => path.NarInfo("References: ../../etc"),
            "undeclared reference" => path.NarInfo("References: "),
            "wrong CA" => path.NarInfo("CA: fixed:r:" + path.NarHash),
            "CA of other contents" => path.NarInfo("CA: text:" + other.NarHash),
            "malformed CA" => path.NarInfo("CA: fixed:r:sha256"),
            "malformed Sig" => path.NarInfo("Sig: key-1:not base64!"),
            "short Sig" => path.NarInfo("Sig: key-1:" + Convert.ToBase64String(new byte[63])),
            "CRLF" => path.NarInfo().ReplaceLineEndings("\r\n"),
            "no last line feed" => path.NarInfo()[..^1],
            "control character" => path.NarInfo("Deriver: \u001b[31m"),
            "StorePath twice" => path.NarInfo() + $"StorePath: {path.StorePath}\n",
            "StorePath outside the store" => path.NarInfo("StorePath: /gnu/store/" + path.BaseName),
            "StorePath with .." => path.NarInfo("StorePath: /nix/store/../" + path.BaseName),
            "URL of a NAR nobody sent" => path.NarInfo($"URL: nar/{new string('0', 52)}.nar.zst"),
            "URL with .." => path.NarInfo("URL: nar/../../etc/passwd"),
            "no NarHash" => path.NarInfo().Replace("NarHash", "Other", StringComparison.Ordinal),
            "empty" => "",
            _ => throw new ArgumentOutOfRangeException(nameof(attack), attack, null),
        }), null);
    }
}
