using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Slipway.Native;

/// <summary>
/// SHA-256 (FIPS 180-4, section 6.2) of eight messages at a time, each in one 32-bit lane of the processor's vectors.
/// <code>
///   pieces ─► lanes 0…7 ─► a block of each ─► transposed: word i of all ─► 64 rounds ─► state
///     ▲            a lane that is done gives its hash and takes the next piece            │
///     └───────────────────────────────────────────────────────────────────────────────────┘
/// </code>
/// </summary>
internal static class Sha256Lanes
{
    /// <summary>Below this most lanes would run empty.</summary>
    public const int Fewest = 4;

    private const int Lanes = 8;
    private const int BlockSize = 64;
    private const int Words = 8;

    // Bit 29 of EBX of leaf 7 (Intel's manual, volume 2A, CPUID): with instructions for SHA one message takes no longer than eight here.
    private static readonly bool HasShaInstructions = X86Base.IsSupported && (X86Base.CpuId(7, 0).Ebx & (1 << 29)) != 0;

    /// <summary>Whether this is faster here than one after the other.</summary>
    public static bool ArePaying => Avx2.IsSupported && !HasShaInstructions;

    private static ReadOnlySpan<uint> InitialState =>
        [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19];

    private static ReadOnlySpan<uint> RoundConstants =>
    [
        0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
        0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
        0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
        0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
        0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
        0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
        0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
        0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
    ];

    public static void HashMany(ReadOnlySpan<ReadOnlyMemory<byte>> pieces, Span<byte> hashes)
    {
        Span<Vector256<uint>> state = stackalloc Vector256<uint>[Words];
        Span<byte> blocks = stackalloc byte[Lanes * BlockSize];
        Span<Lane> lanes = stackalloc Lane[Lanes];
        state.Clear();
        blocks.Clear();
        var next = 0;
        var running = 0;
        for (var lane = 0; lane < Lanes; lane++)
        {
            lanes[lane] = Begin(next, pieces, lane, state);
            if (lanes[lane].IsRunning)
            {
                next++;
                running++;
            }
        }

        while (running > 0)
        {
            for (var lane = 0; lane < Lanes; lane++)
            {
                if (lanes[lane].IsRunning)
                {
                    WriteBlock(pieces[lanes[lane].Piece].Span, lanes[lane].Block++, blocks.Slice(lane * BlockSize, BlockSize));
                }
            }

            Compress(state, blocks);
            for (var lane = 0; lane < Lanes; lane++)
            {
                ref var ended = ref lanes[lane];
                if (!ended.IsRunning || ended.Block < ended.Blocks)
                {
                    continue;
                }

                Finish(state, lane, hashes.Slice(ended.Piece * Sha256.HashSize, Sha256.HashSize));
                ended = Begin(next, pieces, lane, state);
                if (ended.IsRunning)
                {
                    next++;
                }
                else
                {
                    running--;
                }
            }
        }
    }

    private static Lane Begin(int piece, ReadOnlySpan<ReadOnlyMemory<byte>> pieces, int lane, Span<Vector256<uint>> state)
    {
        if (piece == pieces.Length)
        {
            return default;
        }

        for (var word = 0; word < Words; word++)
        {
            Word(state, word, lane) = InitialState[word];
        }

        // The message, a byte 0x80, and its length in bits as 64 of them (section 5.1.1).
        return new Lane { Piece = piece, Blocks = (int)((pieces[piece].Length + 9L + BlockSize - 1) / BlockSize) };
    }

    private static void Finish(Span<Vector256<uint>> state, int lane, Span<byte> hash)
    {
        for (var word = 0; word < Words; word++)
        {
            BinaryPrimitives.WriteUInt32BigEndian(hash[(word * 4)..], Word(state, word, lane));
        }
    }

    private static ref uint Word(Span<Vector256<uint>> state, int word, int lane) =>
        ref MemoryMarshal.Cast<Vector256<uint>, uint>(state)[word * Lanes + lane];

    private static void WriteBlock(ReadOnlySpan<byte> piece, int block, Span<byte> to)
    {
        var at = block * (long)BlockSize;
        var left = piece.Length - at;
        if (left >= BlockSize)
        {
            piece.Slice((int)at, BlockSize).CopyTo(to);
            return;
        }

        to.Clear();
        if (left >= 0)
        {
            piece[(int)at..].CopyTo(to);
            to[(int)left] = 0x80;
        }

        if (left < BlockSize - 8)
        {
            BinaryPrimitives.WriteInt64BigEndian(to[^8..], piece.Length * 8L);
        }
    }

    private static void Compress(Span<Vector256<uint>> state, ReadOnlySpan<byte> blocks)
    {
        Span<Vector256<uint>> schedule = stackalloc Vector256<uint>[16];
        Load(blocks, schedule, 0);
        Load(blocks, schedule, 1);
        ref var w = ref MemoryMarshal.GetReference(schedule);
        ref var k = ref MemoryMarshal.GetReference(RoundConstants);
        var a = state[0];
        var b = state[1];
        var c = state[2];
        var d = state[3];
        var e = state[4];
        var f = state[5];
        var g = state[6];
        var h = state[7];
        for (var round = 0; round < 64; round += 8)
        {
            if (round >= 16)
            {
                for (var word = round & 15; word < (round & 15) + 8; word++)
                {
                    var before15 = Unsafe.Add(ref w, (word + 1) & 15);
                    var before2 = Unsafe.Add(ref w, (word + 14) & 15);
                    Unsafe.Add(ref w, word) += Unsafe.Add(ref w, (word + 9) & 15)
                        + (Rotated(before15, 7) ^ Rotated(before15, 18) ^ (before15 >>> 3))
                        + (Rotated(before2, 17) ^ Rotated(before2, 19) ^ (before2 >>> 10));
                }
            }

            ref var words = ref Unsafe.Add(ref w, round & 15);
            ref var constants = ref Unsafe.Add(ref k, round);
            Round(a, b, c, ref d, e, f, g, ref h, ref words, ref constants, 0);
            Round(h, a, b, ref c, d, e, f, ref g, ref words, ref constants, 1);
            Round(g, h, a, ref b, c, d, e, ref f, ref words, ref constants, 2);
            Round(f, g, h, ref a, b, c, d, ref e, ref words, ref constants, 3);
            Round(e, f, g, ref h, a, b, c, ref d, ref words, ref constants, 4);
            Round(d, e, f, ref g, h, a, b, ref c, ref words, ref constants, 5);
            Round(c, d, e, ref f, g, h, a, ref b, ref words, ref constants, 6);
            Round(b, c, d, ref e, f, g, h, ref a, ref words, ref constants, 7);
        }

        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Round(
        Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, ref Vector256<uint> d,
        Vector256<uint> e, Vector256<uint> f, Vector256<uint> g, ref Vector256<uint> h,
        ref Vector256<uint> words, ref uint constants, int at)
    {
        var sum = h + (Rotated(e, 6) ^ Rotated(e, 11) ^ Rotated(e, 25)) + Vector256.ConditionalSelect(e, f, g)
            + Vector256.Create(Unsafe.Add(ref constants, at)) + Unsafe.Add(ref words, at);
        d += sum;
        h = sum + (Rotated(a, 2) ^ Rotated(a, 13) ^ Rotated(a, 22)) + ((a & b) ^ (c & (a ^ b)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Rotated(Vector256<uint> value, [ConstantExpected] byte bits) =>
        Avx512F.VL.IsSupported ? Avx512F.VL.RotateRight(value, bits) : (value >>> bits) | (value << (32 - bits));

    // Half a block of each lane: word i of all of them becomes one vector, in the byte order of the processor.
    private static void Load(ReadOnlySpan<byte> blocks, Span<Vector256<uint>> schedule, int half)
    {
        // An 8 × 8 transposition: pairs of words, then pairs of pairs, then halves.
        var a0 = Avx2.UnpackLow(Row(blocks, 0, half), Row(blocks, 1, half)).AsUInt64();
        var a1 = Avx2.UnpackHigh(Row(blocks, 0, half), Row(blocks, 1, half)).AsUInt64();
        var a2 = Avx2.UnpackLow(Row(blocks, 2, half), Row(blocks, 3, half)).AsUInt64();
        var a3 = Avx2.UnpackHigh(Row(blocks, 2, half), Row(blocks, 3, half)).AsUInt64();
        var a4 = Avx2.UnpackLow(Row(blocks, 4, half), Row(blocks, 5, half)).AsUInt64();
        var a5 = Avx2.UnpackHigh(Row(blocks, 4, half), Row(blocks, 5, half)).AsUInt64();
        var a6 = Avx2.UnpackLow(Row(blocks, 6, half), Row(blocks, 7, half)).AsUInt64();
        var a7 = Avx2.UnpackHigh(Row(blocks, 6, half), Row(blocks, 7, half)).AsUInt64();
        Halves(schedule, half * 8, Avx2.UnpackLow(a0, a2), Avx2.UnpackLow(a4, a6));
        Halves(schedule, half * 8 + 1, Avx2.UnpackHigh(a0, a2), Avx2.UnpackHigh(a4, a6));
        Halves(schedule, half * 8 + 2, Avx2.UnpackLow(a1, a3), Avx2.UnpackLow(a5, a7));
        Halves(schedule, half * 8 + 3, Avx2.UnpackHigh(a1, a3), Avx2.UnpackHigh(a5, a7));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Halves(Span<Vector256<uint>> schedule, int at, Vector256<ulong> low, Vector256<ulong> high)
    {
        schedule[at] = Avx2.Permute2x128(low, high, 0x20).AsUInt32();
        schedule[at + 4] = Avx2.Permute2x128(low, high, 0x31).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Row(ReadOnlySpan<byte> blocks, int lane, int half) => Avx2.Shuffle(
        Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(blocks), (nuint)(lane * BlockSize + half * 32)),
        Vector256.Create((byte)3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)).AsUInt32();

    /// <summary>One piece on its way through a lane.</summary>
    private struct Lane
    {
        public int Piece;
        public int Block;
        public int Blocks;

        public readonly bool IsRunning => Blocks > 0;
    }
}
