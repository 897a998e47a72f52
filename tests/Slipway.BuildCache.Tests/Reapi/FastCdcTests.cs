using Shouldly;
using Slipway.BuildCache.Cas;
using Xunit;

namespace Slipway.BuildCache.Tests.Reapi;

public sealed class FastCdcTests
{
    // Made with this implementation after it had agreed with the vectors that come with the API (whose input is a photograph).
    [Fact]
    public void Cuts_where_it_always_has()
    {
        var bytes = ReapiClient.Bytes(200_000, seed: 42);
        List<int> lengths = [];
        for (var at = 0; at < bytes.Length; at += lengths[^1])
        {
            lengths.Add(FastCdc.Cut(bytes.AsSpan(at), 16_384));
        }

        lengths.ShouldBe(Expected);
    }

    [Fact]
    public void Bytes_without_a_place_to_cut_are_cut_at_the_maximum()
    {
        FastCdc.Cut(new byte[100_000], 16_384).ShouldBe(65_536);
        FastCdc.Cut(new byte[1000], 16_384).ShouldBe(1000);
        FastCdc.Cut([], 16_384).ShouldBe(0);
    }

    private static int[] Expected => [19_082, 27_907, 28_453, 20_321, 18_577, 19_485, 16_397, 16_666, 17_124, 15_988];
}
