using System.Security.Cryptography;
using Shouldly;
using Xunit;

namespace Slipway.Native.Tests;

public sealed class Sha256Tests
{
    // Around the ends of blocks, of the padding (9 bytes) and of what is copied at a time.
    private static readonly int[] Lengths = [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 121, 127, 128, 1_000, 4_096, 70_001];

    private static readonly Random Random = new(20);

    [Fact]
    public void Hashes_as_the_framework_does()
    {
        foreach (var data in Lengths.Select(Bytes))
        {
            var hash = new byte[Sha256.HashSize];
            Sha256.HashData(data, hash);
            hash.ShouldBe(SHA256.HashData(data));
        }
    }

    [Fact]
    public void Hashes_piece_by_piece_and_starts_over()
    {
        var hasher = new Sha256();
        foreach (var data in Lengths.Select(Bytes))
        {
            var hash = new byte[Sha256.HashSize];
            for (var at = 0; at < data.Length;)
            {
                var length = Math.Min(data.Length - at, 1 + Random.Next(100));
                hasher.Append(data.AsSpan(at, length));
                at += length;
            }

            hasher.GetHashAndReset(hash);
            hash.ShouldBe(SHA256.HashData(data));
        }

        hasher.Append("forgotten"u8);
        hasher.Reset();
        var empty = new byte[Sha256.HashSize];
        hasher.GetHashAndReset(empty);
        empty.ShouldBe(SHA256.HashData([]));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(100)]
    public void Hashes_many_of_any_length_at_a_time(int count)
    {
        var pieces = Enumerable.Range(0, count).Select(at => Bytes(Lengths[(at * 7 + count) % Lengths.Length])).ToArray();
        var hashes = new byte[count * Sha256.HashSize];

        Sha256.HashMany(pieces.Select(piece => new ReadOnlyMemory<byte>(piece)).ToArray(), hashes);

        hashes.ShouldBe(pieces.SelectMany(SHA256.HashData).ToArray());
    }

    [Fact]
    public void Hashes_lane_by_lane_wherever_the_processor_can()
    {
        Assert.SkipUnless(System.Runtime.Intrinsics.X86.Avx2.IsSupported, "This processor has no AVX2.");
        var pieces = Enumerable.Range(0, 300).Select(at => new ReadOnlyMemory<byte>(Bytes(at))).ToArray();
        var hashes = new byte[pieces.Length * Sha256.HashSize];

        Sha256Lanes.HashMany(pieces, hashes);

        hashes.ShouldBe(pieces.SelectMany(piece => SHA256.HashData(piece.Span)).ToArray());
    }

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        Random.NextBytes(bytes);
        return bytes;
    }
}
