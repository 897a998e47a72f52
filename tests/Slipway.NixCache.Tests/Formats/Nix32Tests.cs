using System.Security.Cryptography;
using FsCheck;
using FsCheck.Fluent;
using Shouldly;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

public sealed class Nix32Tests
{
    private const string OfNothing = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";

    [Fact]
    public void Spells_the_hash_of_nothing_as_nix_does() => Nix32.Encode(SHA256.HashData([])).ShouldBe(OfNothing);

    [Fact]
    public void Whatever_is_encoded_decodes_to_itself() => Prop.ForAll<byte[]>(bytes =>
    {
        var text = Nix32.Encode(bytes);
        var decoded = new byte[bytes.Length];
        return Nix32.TryDecode(text, decoded) && decoded.AsSpan().SequenceEqual(bytes) && text.Length == Nix32.EncodedLength(bytes.Length);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Whatever_decodes_is_the_only_spelling() => Prop.ForAll(
        Gen.Elements(Nix32.Alphabet.ToCharArray()).ArrayOf(52).ToArbitrary(),
        characters =>
        {
            var text = new string(characters);
            var bytes = new byte[32];
            // 260 bits for 256: only a 0 or 1 in front leaves the surplus bits clear.
            return Nix32.TryDecode(text, bytes) ? Nix32.Encode(bytes) == text : text[0] is not ('0' or '1');
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData("2mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")]
    [InlineData("0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7e")]
    [InlineData("0Mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")]
    [InlineData("0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7\u0130")]
    [InlineData("0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7")]
    [InlineData("00mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")]
    [InlineData("")]
    public void Refuses_other_spellings(string text) => Nix32.TryDecode(text, new byte[32]).ShouldBeFalse();

    [Theory]
    [InlineData("sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")]
    [InlineData("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    [InlineData("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")]
    public void A_hash_has_three_spellings_and_is_written_in_one(string text)
    {
        NixHash.TryParse(text, out var hash).ShouldBeTrue();

        hash.ToString().ShouldBe($"sha256:{OfNothing}");
        hash.Digest.ToArray().ShouldBe(SHA256.HashData([]));
    }

    [Theory]
    [InlineData("0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")]
    [InlineData("sha512:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")]
    [InlineData("sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855")]
    [InlineData("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=")]
    [InlineData("sha256- 7DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")]
    [InlineData("sha256:")]
    [InlineData("")]
    public void Refuses_other_hashes(string text) => NixHash.TryParse(text, out _).ShouldBeFalse();
}
