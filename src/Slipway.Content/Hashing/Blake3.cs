using System.Runtime.InteropServices;

namespace Slipway.Content.Hashing;

/// <summary>
/// BLAKE3 with 32 bytes of output (its default, and what the Remote Execution API calls BLAKE3). No package of it restores
/// everywhere .NET does, and without SHA instructions it is several times as fast as SHA-256.
/// </summary>
/// <remarks>
/// <code>
/// 1 KiB chunks ──8 at a time──▶ chaining values ──▶ stack, merged two by two like the carries of a counter ──▶ root
/// </code>
/// The last chunk is never finished before the end is known: it might be the root.
/// </remarks>
public sealed class Blake3
{
    public const int HashSize = 32;

    // A stack this deep is enough for 2^64 bytes.
    private const int Deepest = 54;

    private readonly uint[] stack = new uint[Deepest * Blake3Core.Words];
    private readonly uint[] chunk = new uint[Blake3Core.Words];
    private readonly byte[] block = new byte[Blake3Core.BlockSize];
    private int depth;
    private int blockLength;
    private int blocks;
    private ulong counter;

    public Blake3() => Blake3Core.InitialState.CopyTo(chunk);

    /// <summary>The hash of <paramref name="source"/> in one go. Allocates nothing up to 1 KiB.</summary>
    public static void HashData(ReadOnlySpan<byte> source, Span<byte> hash)
    {
        if (source.Length > Blake3Core.ChunkSize)
        {
            var hasher = Cache.Take();
            hasher.Append(source);
            hasher.GetHashAndReset(hash);
            Cache.Give(hasher);
            return;
        }

        Span<uint> state = stackalloc uint[Blake3Core.Words];
        Blake3Core.InitialState.CopyTo(state);
        var flags = Blake3Core.ChunkStart;
        while (source.Length > Blake3Core.BlockSize)
        {
            Blake3Core.Compress(state, source, Blake3Core.BlockSize, 0, flags);
            source = source[Blake3Core.BlockSize..];
            flags = 0;
        }

        Span<byte> last = stackalloc byte[Blake3Core.BlockSize];
        last.Clear();
        source.CopyTo(last);
        Blake3Core.Compress(state, last, source.Length, 0, flags | Blake3Core.ChunkEnd | Blake3Core.Root);
        MemoryMarshal.AsBytes(state).CopyTo(hash);
    }

    public void Append(ReadOnlySpan<byte> source)
    {
        Span<uint> values = stackalloc uint[Blake3Core.Lanes * Blake3Core.Words];
        while (!source.IsEmpty)
        {
            var length = blocks * Blake3Core.BlockSize + blockLength;
            if (length == Blake3Core.ChunkSize)
            {
                Blake3Core.Compress(chunk, block, blockLength, counter, Blake3Core.ChunkEnd);
                Push(chunk);
                StartChunk();
                length = 0;
            }

            // For one chunk alone the eight lanes cost more than one block after another.
            if (length == 0 && source.Length > 2 * Blake3Core.ChunkSize)
            {
                var count = Math.Min(Blake3Core.Lanes, (source.Length - 1) / Blake3Core.ChunkSize);
                Blake3Core.HashChunks(source, count, counter, values);
                for (var at = 0; at < count; at++)
                {
                    Push(values.Slice(at * Blake3Core.Words, Blake3Core.Words));
                }

                source = source[(count * Blake3Core.ChunkSize)..];
                continue;
            }

            if (blockLength == Blake3Core.BlockSize)
            {
                // Not the chunk's last block, or the chunk would have been full.
                Blake3Core.Compress(chunk, block, blockLength, counter, blocks == 0 ? Blake3Core.ChunkStart : 0);
                blocks++;
                blockLength = 0;
            }

            var taken = Math.Min(source.Length, Blake3Core.BlockSize - blockLength);
            source[..taken].CopyTo(block.AsSpan(blockLength));
            blockLength += taken;
            source = source[taken..];
        }
    }

    /// <summary>Writes the hash of all that was appended, and starts over.</summary>
    public void GetHashAndReset(Span<byte> hash)
    {
        block.AsSpan(blockLength).Clear();
        var flags = (blocks == 0 ? Blake3Core.ChunkStart : 0) | Blake3Core.ChunkEnd;
        Span<uint> pair = stackalloc uint[2 * Blake3Core.Words];
        Blake3Core.Compress(chunk, block, blockLength, counter, depth == 0 ? flags | Blake3Core.Root : flags);
        while (depth > 0)
        {
            depth--;
            stack.AsSpan(depth * Blake3Core.Words, Blake3Core.Words).CopyTo(pair);
            chunk.CopyTo(pair[Blake3Core.Words..]);
            Join(pair, depth == 0 ? Blake3Core.Root : 0, chunk);
        }

        MemoryMarshal.AsBytes(chunk.AsSpan()).CopyTo(hash);
        counter = 0;
        StartChunk();
    }

    private void StartChunk()
    {
        Blake3Core.InitialState.CopyTo(chunk);
        blockLength = 0;
        blocks = 0;
    }

    // After the n-th chunk as many subtrees are complete as n ends in zero bits.
    private void Push(ReadOnlySpan<uint> value)
    {
        Span<uint> pair = stackalloc uint[2 * Blake3Core.Words];
        Span<uint> joined = stackalloc uint[Blake3Core.Words];
        value.CopyTo(joined);
        counter++;
        for (var rest = counter; (rest & 1) == 0; rest >>= 1)
        {
            depth--;
            stack.AsSpan(depth * Blake3Core.Words, Blake3Core.Words).CopyTo(pair);
            joined.CopyTo(pair[Blake3Core.Words..]);
            Join(pair, 0, joined);
        }

        joined.CopyTo(stack.AsSpan(depth * Blake3Core.Words));
        depth++;
    }

    private static void Join(ReadOnlySpan<uint> pair, uint flags, Span<uint> into)
    {
        Blake3Core.InitialState.CopyTo(into);
        Blake3Core.Compress(into, MemoryMarshal.AsBytes(pair), Blake3Core.BlockSize, 0, Blake3Core.Parent | flags);
    }

    // One for each thread: a hasher is 2 KB.
    private static class Cache
    {
        [ThreadStatic]
        private static Blake3? spare;

        public static Blake3 Take()
        {
            var hasher = spare ?? new Blake3();
            spare = null;
            return hasher;
        }

        public static void Give(Blake3 hasher) => spare = hasher;
    }
}
