using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Security.Cryptography;

namespace Slipway.BuildCache.Cas;

/// <summary>
/// FastCDC as of 2020 (Xia et al.), the chunking function that REAPI 2.12 names FAST_CDC_2020: finds where a blob is cut, so that an
/// insertion moves the cuts near it only.
/// </summary>
/// <remarks>
/// Everybody who shares a cache has to cut alike: normalization level 2, minimum = average / 4, maximum = average × 4, seed 0. The
/// gear table is defined as the high halves of MD5 over 64 equal bytes, and is therefore worked out rather than listed.
/// </remarks>
internal static class FastCdc
{
    /// <summary>512 KiB, which the specification recommends.</summary>
    public const int AverageSize = 512 * 1024;

    /// <summary>Blobs up to this size aren't worth chunking, says the specification.</summary>
    public const int MaximumSize = AverageSize * 4;

    // Masks by number of bits, from 5: the values of the algorithm's authors, up to 25 bits.
    private static readonly ulong[] Masks =
    [
        0x1804110, 0x1803110, 0x18035100, 0x1800035300, 0x19000353000, 0x590003530000, 0xd90003530000, 0xd90103530000, 0xd90303530000,
        0xd90313530000, 0xd90f03530000, 0xd90303537000, 0xd90703537000, 0xd90707537000, 0xd91707537000, 0xd91747537000, 0xd91767537000,
        0xd93767537000, 0xd93777537000, 0xd93777577000, 0xdb3777577000,
    ];

    private static readonly ulong[] Gear = MakeGear();

    /// <summary>
    /// Length of the first chunk of <paramref name="source"/>, which has to hold <paramref name="average"/> × 4 bytes unless the blob
    /// ends earlier.
    /// </summary>
    public static int Cut(ReadOnlySpan<byte> source, int average = AverageSize)
    {
        var minimum = average / 4;
        if (source.Length <= minimum)
        {
            return source.Length;
        }

        var end = Math.Min(source.Length, average * 4);
        var middle = Math.Min(end, average);
        var bits = BitOperations.Log2((uint)average);
        // The published algorithm rolls two bytes at a time, and so ends at an even count.
        var at = minimum / 2 * 2;
        ulong hash = 0;
        return Scan(source[..(middle / 2 * 2)], Mask(bits + 2), ref at, ref hash) || Scan(source[..(end / 2 * 2)], Mask(bits - 2), ref at, ref hash)
            ? at
            : end;
    }

    // The reference takes every first byte of a pair from a table shifted left by one and tests it against a mask shifted likewise.
    // That is the sum of one shift per byte, except for the bit that leaves at the top, which no mask looks at.
    private static bool Scan(ReadOnlySpan<byte> source, ulong mask, ref int at, ref ulong hash)
    {
        var gear = Gear;
        for (var index = at; index < source.Length; index++)
        {
            hash = (hash << 1) + gear[source[index]];
            if ((hash & mask) == 0)
            {
                at = index;
                return true;
            }
        }

        at = Math.Max(at, source.Length);
        return false;
    }

    private static ulong Mask(int bits) => Masks[bits - 5];

    [SuppressMessage("Security", "CA5351:Do Not Use Broken Cryptographic Algorithms", Justification = "The table is defined by MD5; nothing is secured by it.")]
    private static ulong[] MakeGear()
    {
        var gear = new ulong[256];
        Span<byte> seed = stackalloc byte[64];
        Span<byte> hash = stackalloc byte[MD5.HashSizeInBytes];
        for (var value = 0; value < gear.Length; value++)
        {
            seed.Fill((byte)value);
            MD5.HashData(seed, hash);
            gear[value] = System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(hash);
        }

        return gear;
    }
}
