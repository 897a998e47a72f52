using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Slipway.NixCache.Formats;

/// <summary>
/// The 160 bits that tell store paths apart: the 32 nix32 characters before the name. 20 bytes without padding, so that a table of
/// millions stays small.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly struct StorePathHash : IEquatable<StorePathHash>, IComparable<StorePathHash>
{
    /// <summary>Bytes in a hash.</summary>
    public const int Size = 20;

    /// <summary>Characters in its text.</summary>
    public const int TextLength = 32;

    // The bytes in order, each part little endian: the number that nix32 spells.
    private readonly ulong low;
    private readonly ulong middle;
    private readonly uint high;

    /// <summary>From the parts of the 160-bit number; for the scanner, which shifts them along.</summary>
    internal StorePathHash(ulong low, ulong middle, uint high)
    {
        this.low = low;
        this.middle = middle;
        this.high = high;
    }

    public StorePathHash(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size)
        {
            throw new ArgumentException($"A store path hash has {Size} bytes, not {bytes.Length}.", nameof(bytes));
        }

        low = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        middle = BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]);
        high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]);
    }

    /// <summary>Reads 32 nix32 characters.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out StorePathHash hash)
    {
        Span<byte> bytes = stackalloc byte[Size];
        if (!Nix32.TryDecode(text, bytes))
        {
            hash = default;
            return false;
        }

        hash = new StorePathHash(bytes);
        return true;
    }

    /// <summary>Reads 32 nix32 characters as they come in a URL or a file.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out StorePathHash hash)
    {
        hash = default;
        if (text.Length != TextLength)
        {
            return false;
        }

        Span<char> characters = stackalloc char[TextLength];
        for (var i = 0; i < TextLength; i++)
        {
            characters[i] = (char)text[i];
        }

        return TryParse(characters, out hash);
    }

    /// <summary>The 20 bytes; valid as long as this value is in scope.</summary>
    [UnscopedRef]
    public ReadOnlySpan<byte> AsSpan() => MemoryMarshal.AsBytes(new ReadOnlySpan<StorePathHash>(in this));

    public byte[] ToArray() => AsSpan().ToArray();

    /// <summary>32 nix32 characters.</summary>
    public override string ToString() => Nix32.Encode(AsSpan());

    public bool Equals(StorePathHash other) => low == other.low && middle == other.middle && high == other.high;

    public override bool Equals(object? obj) => obj is StorePathHash other && Equals(other);

    // Honest hashes are uniformly distributed, but anybody may push a path with a made-up one: mix in every bit, with a seed that
    // differs from process to process.
    public override int GetHashCode() => HashCode.Combine(low, middle, high);

    public int CompareTo(StorePathHash other) => AsSpan().SequenceCompareTo(other.AsSpan());

    public static bool operator ==(StorePathHash left, StorePathHash right) => left.Equals(right);

    public static bool operator !=(StorePathHash left, StorePathHash right) => !left.Equals(right);
}
