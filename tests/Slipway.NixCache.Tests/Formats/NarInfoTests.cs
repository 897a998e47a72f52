using System.Text;
using Shouldly;
using Slipway.Native;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

public sealed class NarInfoTests
{
    private const string PublicKey = "lab-cache-1:CCKaOKYVdnTAQdZ5mt70mnwxvHWptfvr0yX0N+M+d6I=";

    // Written and signed by nix 2.8.0.
    private const string WithReferences = """
        StorePath: /nix/store/krdv7mm7y22nj8xjk8hc7bjfmdjldhbv-lab-c-1.0
        URL: nar/19l0i5nw3dqwvx8kj9bhpqi1fcvjx4si1lc46nfz8ki34x7vlhmn.nar.zst
        Compression: zstd
        FileHash: sha256:19l0i5nw3dqwvx8kj9bhpqi1fcvjx4si1lc46nfz8ki34x7vlhmn
        FileSize: 214
        NarHash: sha256:0z4m3aaf94q3lz8als2lw12v65nbd56fp8jjfiw1h57vwyhf0vrb
        NarSize: 392
        References: gfj1d6wr105d5jikh8ibxyj1spi71sdx-lab-b-1.0 krdv7mm7y22nj8xjk8hc7bjfmdjldhbv-lab-c-1.0
        Deriver: fdk8q24k0g9lw16mw7ir2k8a75bx7g0c-lab-c-1.0.drv
        Sig: lab-cache-1:UBKkjLOUMDrXaZzaFwDPGYeRfgw0KroHiWisVOm6hwWyUFJe4z++1melMN5nWBxUKnvfkeQmRtWY9Mnxqn4QBg==

        """;

    private const string WithoutReferences = """
        StorePath: /nix/store/gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0
        URL: nar/1c7nkn2ay2pw7cp9fqh7ygcvf554vp5nsrw6n36pdlzy0bzd3qnz.nar.zst
        Compression: zstd
        FileHash: sha256:1c7nkn2ay2pw7cp9fqh7ygcvf554vp5nsrw6n36pdlzy0bzd3qnz
        FileSize: 27547
        NarHash: sha256:1bxzxzalfnl10fcmrc8xdpiwxxjrqkzl4zlk2c6yxwrhx90r6vkq
        NarSize: 310120
        References:{space}
        Deriver: 785lxggs0v5ahvxa9cq92hd2i3jy9ysr-lab-a-1.0.drv
        Sig: lab-cache-1:PYeodU4JtSJ7YME1ruQvN7j+34BzztWXCU91aWdndT7tvW0N5D/xuvYH/7U7BgoyP1TgznUogDSidtv6mxRZCA==

        """;

    private const string ContentAddressed = """
        StorePath: /nix/store/6bjli7v03lkly3ixqs3qjkjkxa3g1n0a-x1
        URL: nar/1iqbyx6j3vq1h2mfrb568ksa0v245pnc73r2akw5045n3zx9czh8.nar.zst
        Compression: zstd
        FileHash: sha256:1iqbyx6j3vq1h2mfrb568ksa0v245pnc73r2akw5045n3zx9czh8
        FileSize: 134
        NarHash: sha256:1jpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089k
        NarSize: 288
        References:{space}
        CA: fixed:r:sha256:1jpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089k

        """;

    public static TheoryData<string> WrittenByNix => [WithReferences, WithoutReferences, ContentAddressed];

    [Theory]
    [MemberData(nameof(WrittenByNix))]
    public void What_nix_writes_is_written_the_same(string text)
    {
        var bytes = Bytes(text);

        NarInfo.TryParse(bytes, out var narInfo, out var fault).ShouldBeTrue(fault);

        Encoding.ASCII.GetString(narInfo.Write()).ShouldBe(Encoding.ASCII.GetString(bytes));
    }

    [Theory]
    [InlineData(WithReferences)]
    [InlineData(WithoutReferences)]
    public void The_fingerprint_is_what_nix_signed(string text)
    {
        var narInfo = Parse(text);
        SigningKeyPair.TryParsePublic(PublicKey, out _, out var key).ShouldBeTrue();

        Ed25519.Verify(key, Encoding.ASCII.GetBytes(narInfo.Fingerprint()), narInfo.Signatures[0].Signature).ShouldBeTrue();
    }

    [Fact]
    public void The_fingerprint_names_references_in_full_and_in_order() => Parse(WithReferences).Fingerprint().ShouldBe(
        "1;/nix/store/krdv7mm7y22nj8xjk8hc7bjfmdjldhbv-lab-c-1.0;sha256:0z4m3aaf94q3lz8als2lw12v65nbd56fp8jjfiw1h57vwyhf0vrb;392;"
        + "/nix/store/gfj1d6wr105d5jikh8ibxyj1spi71sdx-lab-b-1.0,/nix/store/krdv7mm7y22nj8xjk8hc7bjfmdjldhbv-lab-c-1.0");

    [Fact]
    public void References_are_sorted_and_repetitions_dropped()
    {
        var narInfo = Parse(Replace(
            "References: ",
            "krdv7mm7y22nj8xjk8hc7bjfmdjldhbv-lab-c-1.0  gfj1d6wr105d5jikh8ibxyj1spi71sdx-lab-b-1.0 krdv7mm7y22nj8xjk8hc7bjfmdjldhbv-lab-c-1.0"));

        narInfo.References.Select(reference => reference.Name).ShouldBe(["lab-b-1.0", "lab-c-1.0"]);
    }

    [Fact]
    public void Signatures_are_written_in_the_order_of_their_text_once()
    {
        var first = SigningKeyPair.FromSeed("a-1", new byte[32]).Sign("x");
        var second = SigningKeyPair.FromSeed("b-1", new byte[32]).Sign("x");
        var narInfo = Parse(Replace("Sig: ", $"{second}\nSig: {first}\nSig: {second}"));

        Encoding.ASCII.GetString(narInfo.Write()).ShouldEndWith($"Sig: {first}\nSig: {second}\n");
        narInfo.Signatures.Count.ShouldBe(2);
    }

    [Fact]
    public void Optional_lines_may_be_left_out()
    {
        var narInfo = Parse("""
            StorePath: /nix/store/gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0
            URL: nar/x.nar
            NarHash: sha256:1bxzxzalfnl10fcmrc8xdpiwxxjrqkzl4zlk2c6yxwrhx90r6vkq
            NarSize: 310120
            Some-Future-Key: anything

            """);

        narInfo.Compression.ShouldBe("bzip2");
        narInfo.References.ShouldBeEmpty();
        (narInfo.FileHash, narInfo.FileSize, narInfo.Deriver, narInfo.ContentAddress).ShouldBe((null, null, null, null));
    }

    [Fact]
    public void An_unknown_deriver_is_none() => Parse(Replace("Deriver: ", "unknown-deriver")).Deriver.ShouldBeNull();

    [Theory]
    [InlineData("StorePath: ", "gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0", "Line 1: StorePath has to be a full path")]
    [InlineData("StorePath: ", "/nix/store/gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0\r", "Line 1: ends with a carriage return")]
    [InlineData("StorePath: ", "/nix/store/gq7c916frir9a5gk863dxmhr6iy2parb-..\0", "Line 1: contains a control character")]
    [InlineData("URL: ", "", "Line 2: URL has to be 1 to")]
    [InlineData("URL: ", "nar/a b.nar", "Line 2: URL has to be 1 to")]
    [InlineData("URL: ", "nar/\u001b[31m.nar", "Line 2: contains a control character")]
    [InlineData("URL: ", "nar/ü.nar", "Line 2: contains a control character or a character outside ASCII")]
    [InlineData("URL: ", "nar/a.nar\nURL: nar/b.nar", "Line 3: 'URL' is there a second time")]
    [InlineData("Compression: ", "lrzip", "Line 3: Compression 'lrzip' is not supported; use none, zstd, xz or bzip2.")]
    [InlineData("FileHash: ", "sha256:abc", "Line 4: FileHash has to be sha256: and 52 nix32 characters")]
    [InlineData("FileSize: ", "-1", "Line 5: FileSize has to be a number of bytes greater than 0")]
    [InlineData("NarHash: ", "md5:abc", "Line 6: NarHash has to be")]
    [InlineData("NarHash: ", "sha256:0z4m3aaf94q3lz8als2lw12v65nbd56fp8jjfiw1h57vwyhf0vrb\nNarHash: x", "Line 7: 'NarHash' is there a second time")]
    [InlineData("NarSize: ", "0", "Line 7: NarSize has to be a number of bytes greater than 0")]
    [InlineData("NarSize: ", "1e9", "Line 7: NarSize has to be")]
    [InlineData("NarSize: ", "99999999999999999999", "Line 7: NarSize has to be")]
    [InlineData("References: ", "/nix/store/gfj1d6wr105d5jikh8ibxyj1spi71sdx-lab-b-1.0", "Line 8: the reference '/nix/store/gfj1d6wr105d5jikh8ibxyj1spi71sdx-lab-b-1.0' is not the base name")]
    [InlineData("References: ", "../../etc/passwd", "Line 8: the reference '../../etc/passwd' is not the base name")]
    [InlineData("References: ", "\nReferences: ", "Line 9: 'References' is there a second time")]
    [InlineData("Deriver: ", "fdk8q24k0g9lw16mw7ir2k8a75bx7g0c-lab-c-1.0", "Line 9: Deriver has to be the base name of a derivation")]
    [InlineData("Sig: ", "lab-cache-1", "Line 10: Sig has to be <key name>:<base64 of 64 bytes>.")]
    [InlineData("Sig: ", "lab-cache-1:UBKkjLOUMDrXaZza", "Line 10: Sig has to be")]
    [InlineData("Sig: ", "lab-cache-1:UBKkjLOUMDrXaZzaFwDPGYeRfgw0KroHiWisVOm6hwWyUFJe4z++1melMN5nWBxUKnvfkeQmRtWY9Mnxqn4Q====", "Line 10: Sig has to be")]
    [InlineData("Sig: ", "lab-cache-1:UBKkjLOUMDrXaZzaFwDPGYeRfgw0KroHiWisVOm6hwWyUFJe4z++1melMN5nWBxUKnvfkeQmRtWY9Mnxqn4QBh==", "Line 10: Sig has to be")]
    [InlineData("Sig: ", ":UBKkjLOUMDrXaZzaFwDPGYeRfgw0KroHiWisVOm6hwWyUFJe4z++1melMN5nWBxUKnvfkeQmRtWY9Mnxqn4QBg==", "Line 10: Sig has to be")]
    [InlineData("Sig: ", "a b:UBKkjLOUMDrXaZzaFwDPGYeRfgw0KroHiWisVOm6hwWyUFJe4z++1melMN5nWBxUKnvfkeQmRtWY9Mnxqn4QBg==", "Line 10: Sig has to be")]
    [InlineData("Sig: ", "x:y\nCA: fixed:sha256:abc", "Line 10: Sig has to be")]
    public void Says_which_line_is_wrong_and_how_to_write_it(string line, string value, string expected)
    {
        NarInfo.TryParse(Encoding.UTF8.GetBytes(Replace(line, value)), out var narInfo, out var fault).ShouldBeFalse();

        narInfo.ShouldBeNull();
        fault.ShouldStartWith(expected);
    }

    [Theory]
    [InlineData("StorePath")]
    [InlineData("URL")]
    [InlineData("NarHash")]
    [InlineData("NarSize")]
    public void Says_which_required_line_is_missing(string key)
    {
        var text = string.Concat(WithReferences.Split('\n').Where(line => line.Length > 0 && !line.StartsWith($"{key}: ", StringComparison.Ordinal)).Select(line => $"{line}\n"));

        NarInfo.TryParse(Encoding.ASCII.GetBytes(text), out _, out var fault).ShouldBeFalse();

        fault.ShouldBe($"The line '{key}: …' is missing; StorePath, URL, NarHash and NarSize are required.");
    }

    [Fact]
    public void The_last_line_needs_its_line_feed()
    {
        NarInfo.TryParse(Bytes(WithReferences).AsSpan()[..^1], out _, out var fault).ShouldBeFalse();

        fault.ShouldStartWith("Line 10: the last line has to end with a line feed");
    }

    [Theory]
    [InlineData("References:")]
    [InlineData("")]
    [InlineData("just text")]
    [InlineData(": value")]
    [InlineData("Key:value")]
    public void Every_line_needs_a_key_a_colon_and_a_space(string line)
    {
        NarInfo.TryParse(Bytes(WithReferences + line + "\n"), out _, out var fault).ShouldBeFalse();

        fault.ShouldStartWith("Line 11: has to be 'Key: value'");
    }

    [Fact]
    public void A_bad_content_address_is_refused()
    {
        NarInfo.TryParse(Bytes(WithReferences + "CA: fixed:git:sha1:abc\n"), out _, out var fault).ShouldBeFalse();

        fault.ShouldStartWith("Line 11: CA has to be");
    }

    [Fact]
    public void References_are_limited_to_ten_thousand()
    {
        var allowed = string.Join(' ', Enumerable.Range(0, 10_000).Select(i => $"gfj1d6wr105d5jikh8ibxyj1spi71sdx-{i}"));
        Parse(Replace("References: ", allowed)).References.Count.ShouldBe(10_000);

        NarInfo.TryParse(Bytes(Replace("References: ", $"{allowed} gfj1d6wr105d5jikh8ibxyj1spi71sdx-more")), out _, out var fault).ShouldBeFalse();

        fault.ShouldBe("Line 8: References has more than 10,000 paths.");
    }

    [Fact]
    public void Signatures_are_limited()
    {
        var many = string.Concat(Enumerable.Range(0, 101).Select(i => $"Sig: {new NarSignature($"k{i}", new byte[64])}\n"));

        NarInfo.TryParse(Bytes(WithoutReferences + many), out _, out var fault).ShouldBeFalse();

        fault.ShouldEndWith("there are more than 100 signatures.");
    }

    [Fact]
    public void Nothing_and_too_much_are_refused()
    {
        NarInfo.TryParse([], out _, out var empty).ShouldBeFalse();
        NarInfo.TryParse(new byte[NarInfo.MaxBytes + 1], out _, out var large).ShouldBeFalse();

        empty.ShouldBe("The narinfo is empty.");
        large.ShouldContain("at most 2,097,152 are allowed");
    }

    private static NarInfo Parse(string text)
    {
        NarInfo.TryParse(Bytes(text), out var narInfo, out var fault).ShouldBeTrue(fault);
        return narInfo!;
    }

    // The space at the end of "References: " is marked, because editors take spaces at line ends away.
    private static byte[] Bytes(string text) => Encoding.ASCII.GetBytes(text.Replace("{space}", " ", StringComparison.Ordinal));

    /// <summary>The narinfo with references, with the value of one line replaced.</summary>
    private static string Replace(string line, string value)
    {
        var start = WithReferences.IndexOf(line, StringComparison.Ordinal) + line.Length;
        var end = WithReferences.IndexOf('\n', start);
        return WithReferences[..start] + value + WithReferences[end..];
    }
}
