using System.Text;
using Shouldly;
using Slipway.Native;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

public sealed class SigningKeyPairTests
{
    [Fact]
    public void What_a_pair_signs_its_public_key_verifies()
    {
        var pair = SigningKeyPair.Generate("main.acme-1");

        NarSignature.TryParse(pair.Sign("1;path"), out var signature).ShouldBeTrue();
        SigningKeyPair.TryParsePublic(pair.PublicKeyText, out var name, out var publicKey).ShouldBeTrue();

        (signature.KeyName, name).ShouldBe(("main.acme-1", "main.acme-1"));
        Ed25519.Verify(publicKey, Encoding.ASCII.GetBytes("1;path"), signature.Signature).ShouldBeTrue();
        Ed25519.Verify(publicKey, Encoding.ASCII.GetBytes("1;other"), signature.Signature).ShouldBeFalse();
    }

    [Fact]
    public void Two_pairs_of_one_name_differ() => SigningKeyPair.Generate("a-1").PublicKeyText.ShouldNotBe(SigningKeyPair.Generate("a-1").PublicKeyText);

    [Fact]
    public void A_secret_key_file_of_nix_is_read()
    {
        var pair = SigningKeyPair.FromSeed("a-1", [.. Enumerable.Repeat((byte)7, 32)]);
        var text = $"a-1:{Convert.ToBase64String([.. pair.Seed, .. pair.PublicKey])}";

        SigningKeyPair.TryParseSecret(text, out var read).ShouldBeTrue();

        read.PublicKeyText.ShouldBe(pair.PublicKeyText);
        SigningKeyPair.TryParseSecret($"a-1:{Convert.ToBase64String([.. pair.Seed, .. pair.Seed])}", out _).ShouldBeFalse();
        SigningKeyPair.TryParseSecret(pair.PublicKeyText, out _).ShouldBeFalse();
    }

    [Fact]
    public void The_text_of_a_pair_does_not_give_its_seed_away()
    {
        var pair = SigningKeyPair.FromSeed("a-1", [.. Enumerable.Repeat((byte)7, 32)]);

        $"{pair}".ShouldBe(pair.PublicKeyText);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("a:b")]
    [InlineData("a\n")]
    public void Names_that_would_break_a_narinfo_are_refused(string name) => Should.Throw<ArgumentException>(() => SigningKeyPair.Generate(name));

    [Theory]
    [InlineData("none", CompressionFormat.None, "")]
    [InlineData("zstd", CompressionFormat.Zstd, ".zst")]
    [InlineData("xz", CompressionFormat.Xz, ".xz")]
    [InlineData("bzip2", CompressionFormat.Bzip2, ".bz2")]
    public void Compressions_are_spelled_as_nix_spells_them(string name, CompressionFormat format, string extension)
    {
        NarCompression.TryParse(name, out var parsed).ShouldBeTrue();
        NarCompression.TryParseExtension(extension, out var fromExtension).ShouldBeTrue();

        (parsed, fromExtension).ShouldBe((format, format));
        NarCompression.NameOf(format).ShouldBe(name);
        NarCompression.ExtensionOf(format).ShouldBe(extension);
        NarCompression.TryParseExtension(".br", out _).ShouldBeFalse();
    }
}
