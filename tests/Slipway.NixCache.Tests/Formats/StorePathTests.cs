using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Shouldly;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

public sealed class StorePathTests
{
    private const string Hash = "gq7c916frir9a5gk863dxmhr6iy2parb";

    [Fact]
    public void A_path_has_a_hash_and_a_name()
    {
        StorePath.TryParse($"/nix/store/{Hash}-lab-a-1.0.drv", out var path).ShouldBeTrue();

        path.Hash.ToString().ShouldBe(Hash);
        path.Name.ShouldBe("lab-a-1.0.drv");
        path.BaseName.ShouldBe($"{Hash}-lab-a-1.0.drv");
        path.FullPath.ShouldBe($"/nix/store/{Hash}-lab-a-1.0.drv");
        path.IsDerivation.ShouldBeTrue();
        path.ShouldBe(StorePath.Create(path.Hash, path.Name));
    }

    [Theory]
    [InlineData($"{Hash}-a")]
    [InlineData($"/gnu/store/{Hash}-a")]
    [InlineData($"/nix/store{Hash}-a")]
    [InlineData($"/nix/store/{Hash}-a/bin")]
    [InlineData($"/nix/store/../store/{Hash}-a")]
    [InlineData($"/nix/store/{Hash}")]
    [InlineData($"/nix/store/{Hash}-")]
    [InlineData($"/nix/store/{Hash}-.hidden")]
    [InlineData($"/nix/store/{Hash}-a b")]
    [InlineData($"/nix/store/{Hash}-a\n")]
    [InlineData($"/nix/store/{Hash}-ä")]
    [InlineData($"/nix/store/{Hash}_a")]
    [InlineData("/nix/store/eq7c916frir9a5gk863dxmhr6iy2parb-a")]
    [InlineData("/nix/store/")]
    [InlineData("")]
    public void Refuses_what_is_no_path_of_the_store(string text) => StorePath.TryParse(text, out _).ShouldBeFalse();

    [Fact]
    public void A_name_has_at_most_211_characters()
    {
        StorePath.TryParseBaseName($"{Hash}-{new string('n', 211)}", out _).ShouldBeTrue();
        StorePath.TryParseBaseName($"{Hash}-{new string('n', 212)}", out _).ShouldBeFalse();
    }

    [Fact]
    public void Every_20_bytes_are_a_hash_that_reads_back() => Prop.ForAll(
        ArbMap.Default.GeneratorFor<byte>().ArrayOf(20).ToArbitrary(),
        bytes =>
        {
            var hash = new StorePathHash(bytes);
            return hash.AsSpan().SequenceEqual(bytes)
                && StorePathHash.TryParse(hash.ToString(), out var again) && again == hash && again.GetHashCode() == hash.GetHashCode()
                && StorePathHash.TryParse(Encoding.ASCII.GetBytes(hash.ToString()), out var fromBytes) && fromBytes == hash;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_hash_takes_no_more_than_its_20_bytes() => System.Runtime.CompilerServices.Unsafe.SizeOf<StorePathHash>().ShouldBe(20);

    [Fact]
    public void Paths_are_ordered_by_base_name()
    {
        StorePath.TryParseBaseName("gfj1d6wr105d5jikh8ibxyj1spi71sdx-z", out var first);
        StorePath.TryParseBaseName($"{Hash}-A", out var second);
        StorePath.TryParseBaseName($"{Hash}-a", out var third);

        new[] { third!, second!, first! }.Order().ShouldBe([first!, second!, third!]);
    }
}
