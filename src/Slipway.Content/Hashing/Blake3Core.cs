using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Slipway.Content.Hashing;

/// <summary>BLAKE3's compression function, once for one block and once for a block of each of eight chunks side by side.</summary>
internal static class Blake3Core
{
    public const int BlockSize = 64;
    public const int ChunkSize = 1024;
    public const int Words = 8;

    /// <summary>Chunks hashed side by side: as many as 32-bit lanes fit into 256 bits.</summary>
    public const int Lanes = 8;

    public const uint ChunkStart = 1;
    public const uint ChunkEnd = 2;
    public const uint Parent = 4;
    public const uint Root = 8;

    /// <summary>The initial state: the same words as SHA-256's.</summary>
    public static ReadOnlySpan<uint> InitialState =>
        [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19];

    // The order in which each of the seven rounds takes the message words: the first as they come, then permuted again and again.
    private static readonly byte[] Schedule = MakeSchedule();

    /// <summary>Compresses one block into <paramref name="state"/>, which is the chaining value before and after.</summary>
    /// <param name="block">64 bytes, zero beyond <paramref name="length"/>.</param>
    public static void Compress(Span<uint> state, ReadOnlySpan<byte> block, int length, ulong counter, uint flags)
    {
        Debug.Assert(BitConverter.IsLittleEndian, "Every platform of .NET here is little-endian.");
        ref var m = ref Unsafe.As<byte, uint>(ref MemoryMarshal.GetReference(block));
        ref var words = ref MemoryMarshal.GetReference(state[..Words]);
        ref var schedule = ref MemoryMarshal.GetArrayDataReference(Schedule);
        var a = Vector128.LoadUnsafe(ref words);
        var b = Vector128.LoadUnsafe(ref words, 4);
        var c = Vector128.Create(0x6A09E667u, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A);
        var d = Vector128.Create((uint)counter, (uint)(counter >> 32), (uint)length, flags);
        for (var round = 0; round < 7; round++)
        {
            ref var order = ref Unsafe.Add(ref schedule, round * 16);
            Half(ref a, ref b, ref c, ref d, Pick(ref m, ref order, 0), Pick(ref m, ref order, 1));
            b = Vector128.Shuffle(b, Vector128.Create(1u, 2, 3, 0));
            c = Vector128.Shuffle(c, Vector128.Create(2u, 3, 0, 1));
            d = Vector128.Shuffle(d, Vector128.Create(3u, 0, 1, 2));
            Half(ref a, ref b, ref c, ref d, Pick(ref m, ref order, 8), Pick(ref m, ref order, 9));
            b = Vector128.Shuffle(b, Vector128.Create(3u, 0, 1, 2));
            c = Vector128.Shuffle(c, Vector128.Create(2u, 3, 0, 1));
            d = Vector128.Shuffle(d, Vector128.Create(1u, 2, 3, 0));
        }

        (a ^ c).StoreUnsafe(ref words);
        (b ^ d).StoreUnsafe(ref words, 4);
    }

    /// <summary>Hashes up to eight whole chunks that lie one after another into their chaining values.</summary>
    public static void HashChunks(ReadOnlySpan<byte> chunks, int count, ulong firstCounter, Span<uint> chainingValues)
    {
        ref var start = ref MemoryMarshal.GetReference(chunks[..(count * ChunkSize)]);
        Span<Vector256<uint>> h = stackalloc Vector256<uint>[Words];
        Span<Vector256<uint>> m = stackalloc Vector256<uint>[16];
        for (var word = 0; word < Words; word++)
        {
            h[word] = Vector256.Create(InitialState[word]);
        }

        var lanes = Vector256.Create(0u, 1, 2, 3, 4, 5, 6, 7);
        var low = Vector256.Create((uint)firstCounter) + lanes;
        // A carry out of the low half, lane by lane: only for chunks around each 4 TiB.
        var high = Vector256.Create((uint)(firstCounter >> 32)) - Vector256.LessThan(low, Vector256.Create((uint)firstCounter));
        for (var block = 0; block < ChunkSize / BlockSize; block++)
        {
            Load(ref Unsafe.Add(ref start, block * BlockSize), count, m);
            var flags = block switch { 0 => ChunkStart, ChunkSize / BlockSize - 1 => ChunkEnd, _ => 0u };
            CompressLanes(h, m, low, high, flags);
        }

        Span<uint> lane = stackalloc uint[Lanes];
        for (var word = 0; word < Words; word++)
        {
            h[word].CopyTo(lane);
            for (var chunk = 0; chunk < count; chunk++)
            {
                chainingValues[chunk * Words + word] = lane[chunk];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Pick(ref uint m, ref byte order, int from) => Vector128.Create(
        Unsafe.Add(ref m, (nint)Unsafe.Add(ref order, from)),
        Unsafe.Add(ref m, (nint)Unsafe.Add(ref order, from + 2)),
        Unsafe.Add(ref m, (nint)Unsafe.Add(ref order, from + 4)),
        Unsafe.Add(ref m, (nint)Unsafe.Add(ref order, from + 6)));

    // Four of the function's eight mixings, one in each lane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Half(
        ref Vector128<uint> a, ref Vector128<uint> b, ref Vector128<uint> c, ref Vector128<uint> d, Vector128<uint> first, Vector128<uint> second)
    {
        a = a + b + first;
        d ^= a;
        d = (d >>> 16) | (d << 16);
        c += d;
        b ^= c;
        b = (b >>> 12) | (b << 20);
        a = a + b + second;
        d ^= a;
        d = (d >>> 8) | (d << 24);
        c += d;
        b ^= c;
        b = (b >>> 7) | (b << 25);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Mix(
        ref Vector256<uint> a, ref Vector256<uint> b, ref Vector256<uint> c, ref Vector256<uint> d, Vector256<uint> first, Vector256<uint> second)
    {
        a = a + b + first;
        d ^= a;
        d = (d >>> 16) | (d << 16);
        c += d;
        b ^= c;
        b = (b >>> 12) | (b << 20);
        a = a + b + second;
        d ^= a;
        d = (d >>> 8) | (d << 24);
        c += d;
        b ^= c;
        b = (b >>> 7) | (b << 25);
    }

    private static void CompressLanes(Span<Vector256<uint>> h, ReadOnlySpan<Vector256<uint>> m, Vector256<uint> low, Vector256<uint> high, uint flags)
    {
        var v0 = h[0];
        var v1 = h[1];
        var v2 = h[2];
        var v3 = h[3];
        var v4 = h[4];
        var v5 = h[5];
        var v6 = h[6];
        var v7 = h[7];
        var v8 = Vector256.Create(0x6A09E667u);
        var v9 = Vector256.Create(0xBB67AE85u);
        var v10 = Vector256.Create(0x3C6EF372u);
        var v11 = Vector256.Create(0xA54FF53Au);
        var v12 = low;
        var v13 = high;
        var v14 = Vector256.Create((uint)BlockSize);
        var v15 = Vector256.Create(flags);
        ref var words = ref MemoryMarshal.GetReference(m);
        ref var schedule = ref MemoryMarshal.GetArrayDataReference(Schedule);
        for (var round = 0; round < 7; round++)
        {
            ref var order = ref Unsafe.Add(ref schedule, round * 16);
            Mix(ref v0, ref v4, ref v8, ref v12, Word(ref words, ref order, 0), Word(ref words, ref order, 1));
            Mix(ref v1, ref v5, ref v9, ref v13, Word(ref words, ref order, 2), Word(ref words, ref order, 3));
            Mix(ref v2, ref v6, ref v10, ref v14, Word(ref words, ref order, 4), Word(ref words, ref order, 5));
            Mix(ref v3, ref v7, ref v11, ref v15, Word(ref words, ref order, 6), Word(ref words, ref order, 7));
            Mix(ref v0, ref v5, ref v10, ref v15, Word(ref words, ref order, 8), Word(ref words, ref order, 9));
            Mix(ref v1, ref v6, ref v11, ref v12, Word(ref words, ref order, 10), Word(ref words, ref order, 11));
            Mix(ref v2, ref v7, ref v8, ref v13, Word(ref words, ref order, 12), Word(ref words, ref order, 13));
            Mix(ref v3, ref v4, ref v9, ref v14, Word(ref words, ref order, 14), Word(ref words, ref order, 15));
        }

        h[0] = v0 ^ v8;
        h[1] = v1 ^ v9;
        h[2] = v2 ^ v10;
        h[3] = v3 ^ v11;
        h[4] = v4 ^ v12;
        h[5] = v5 ^ v13;
        h[6] = v6 ^ v14;
        h[7] = v7 ^ v15;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Word(ref Vector256<uint> words, ref byte order, int at) => Unsafe.Add(ref words, (nint)Unsafe.Add(ref order, at));

    // Word i of each chunk's block into lane by lane of m[i]. Lanes without a chunk repeat the first one; nobody looks at them.
    private static void Load(ref byte start, int count, Span<Vector256<uint>> m)
    {
        for (var half = 0; half < 2; half++)
        {
            var r0 = Row(ref start, 0, half);
            var r1 = Row(ref start, count > 1 ? 1 : 0, half);
            var r2 = Row(ref start, count > 2 ? 2 : 0, half);
            var r3 = Row(ref start, count > 3 ? 3 : 0, half);
            var r4 = Row(ref start, count > 4 ? 4 : 0, half);
            var r5 = Row(ref start, count > 5 ? 5 : 0, half);
            var r6 = Row(ref start, count > 6 ? 6 : 0, half);
            var r7 = Row(ref start, count > 7 ? 7 : 0, half);
            var to = m.Slice(half * 8, 8);
            if (!Avx2.IsSupported)
            {
                for (var word = 0; word < 8; word++)
                {
                    to[word] = Vector256.Create(r0[word], r1[word], r2[word], r3[word], r4[word], r5[word], r6[word], r7[word]);
                }

                continue;
            }

            // An 8 × 8 transposition: pairs of words, then pairs of pairs, then halves.
            var a0 = Avx2.UnpackLow(r0, r1).AsUInt64();
            var a1 = Avx2.UnpackHigh(r0, r1).AsUInt64();
            var a2 = Avx2.UnpackLow(r2, r3).AsUInt64();
            var a3 = Avx2.UnpackHigh(r2, r3).AsUInt64();
            var a4 = Avx2.UnpackLow(r4, r5).AsUInt64();
            var a5 = Avx2.UnpackHigh(r4, r5).AsUInt64();
            var a6 = Avx2.UnpackLow(r6, r7).AsUInt64();
            var a7 = Avx2.UnpackHigh(r6, r7).AsUInt64();
            var b0 = Avx2.UnpackLow(a0, a2);
            var b1 = Avx2.UnpackHigh(a0, a2);
            var b2 = Avx2.UnpackLow(a1, a3);
            var b3 = Avx2.UnpackHigh(a1, a3);
            var b4 = Avx2.UnpackLow(a4, a6);
            var b5 = Avx2.UnpackHigh(a4, a6);
            var b6 = Avx2.UnpackLow(a5, a7);
            var b7 = Avx2.UnpackHigh(a5, a7);
            to[0] = Avx2.Permute2x128(b0, b4, 0x20).AsUInt32();
            to[1] = Avx2.Permute2x128(b1, b5, 0x20).AsUInt32();
            to[2] = Avx2.Permute2x128(b2, b6, 0x20).AsUInt32();
            to[3] = Avx2.Permute2x128(b3, b7, 0x20).AsUInt32();
            to[4] = Avx2.Permute2x128(b0, b4, 0x31).AsUInt32();
            to[5] = Avx2.Permute2x128(b1, b5, 0x31).AsUInt32();
            to[6] = Avx2.Permute2x128(b2, b6, 0x31).AsUInt32();
            to[7] = Avx2.Permute2x128(b3, b7, 0x31).AsUInt32();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Row(ref byte start, int chunk, int half) =>
        Vector256.LoadUnsafe(ref start, (nuint)(chunk * ChunkSize + half * 32)).AsUInt32();

    private static byte[] MakeSchedule()
    {
        ReadOnlySpan<byte> permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
        var schedule = new byte[7 * 16];
        for (var word = 0; word < 16; word++)
        {
            schedule[word] = (byte)word;
        }

        for (var at = 16; at < schedule.Length; at++)
        {
            schedule[at] = schedule[at - at % 16 - 16 + permutation[at % 16]];
        }

        return schedule;
    }
}
