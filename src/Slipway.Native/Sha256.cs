using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Slipway.Native;

/// <summary>
/// SHA-256 (FIPS 180-4) by the block function of the OpenSSL 3 that .NET on Linux loads anyway, without the layer around it:
/// through <c>System.Security.Cryptography</c> a hash of 40 bytes takes 0.9 µs and one of 1,000 bytes 3.3 µs, like this 0.24 and 2.7.
/// An instance hashes piece by piece. Not safe for concurrent use.
/// </summary>
public sealed unsafe partial class Sha256
{
    public const int HashSize = 32;

    private const string Library = "libcrypto.so.3";

    private Context context;

    public Sha256() => Reset();

    /// <summary>The hash of bytes that are all here.</summary>
    /// <param name="hash">Exactly <see cref="HashSize"/> bytes.</param>
    public static void HashData(ReadOnlySpan<byte> data, Span<byte> hash)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(hash.Length, HashSize);
        Unsafe.SkipInit(out Context once);
        fixed (byte* from = data)
        fixed (byte* to = hash)
        {
            SHA256_Init(&once);
            SHA256_Update(&once, from, (nuint)data.Length);
            SHA256_Final(to, &once);
        }
    }

    /// <summary>
    /// The hashes of many pieces of data, 32 bytes each, one after another. Where the processor can, eight are computed at a time,
    /// which for pieces of like length takes a third of the time (0.9 ns a byte where one alone takes 2.7).
    /// </summary>
    /// <param name="hashes">Exactly <see cref="HashSize"/> bytes a piece.</param>
    public static void HashMany(ReadOnlySpan<ReadOnlyMemory<byte>> pieces, Span<byte> hashes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(hashes.Length, pieces.Length * HashSize);
        if (Sha256Lanes.ArePaying && pieces.Length >= Sha256Lanes.Fewest)
        {
            Sha256Lanes.HashMany(pieces, hashes);
            return;
        }

        for (var at = 0; at < pieces.Length; at++)
        {
            HashData(pieces[at].Span, hashes.Slice(at * HashSize, HashSize));
        }
    }

    public void Append(ReadOnlySpan<byte> data)
    {
        fixed (Context* here = &context)
        fixed (byte* from = data)
        {
            SHA256_Update(here, from, (nuint)data.Length);
        }
    }

    /// <summary>The hash of all that was appended; then it starts over.</summary>
    /// <param name="hash">Exactly <see cref="HashSize"/> bytes.</param>
    public void GetHashAndReset(Span<byte> hash)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(hash.Length, HashSize);
        fixed (Context* here = &context)
        fixed (byte* to = hash)
        {
            SHA256_Final(to, here);
        }

        Reset();
    }

    /// <summary>Forgets what was appended.</summary>
    public void Reset()
    {
        fixed (Context* here = &context)
        {
            SHA256_Init(here);
        }
    }

    // They fail only without a context.
    [LibraryImport(Library), SuppressGCTransition]
    private static partial int SHA256_Init(Context* context);

    [LibraryImport(Library)]
    private static partial int SHA256_Update(Context* context, byte* data, nuint length);

    [LibraryImport(Library), SuppressGCTransition]
    private static partial int SHA256_Final(byte* hash, Context* context);

    /// <summary>SHA256_CTX of openssl/sha.h: eight words of state, a length of two, a block, two numbers.</summary>
    [InlineArray((8 + 2 + 16 + 2) / 2)]
    private struct Context
    {
        private ulong first;
    }
}
