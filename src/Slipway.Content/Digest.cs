using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Slipway.Native;

namespace Slipway.Content;

/// <summary>
/// The SHA-256 of some bytes. Can only be made from 32 bytes or 64 lowercase hex digits, so a <see cref="Digest"/> in hand is
/// always well-formed. <c>default</c> is the all-zero digest, which no known bytes have: it names nothing.
/// </summary>
public readonly struct Digest : IEquatable<Digest>, IComparable<Digest>
{
    /// <summary>Bytes in a digest.</summary>
    public const int Size = 32;

    private readonly Bytes32 bytes;

    private Digest(ReadOnlySpan<byte> bytes) => bytes.CopyTo(this.bytes);

    /// <summary>The digest whose 32 raw bytes these are.</summary>
    /// <exception cref="ArgumentException">Not exactly 32 bytes.</exception>
    public static Digest FromBytes(ReadOnlySpan<byte> bytes) => bytes.Length == Size
        ? new Digest(bytes)
        : throw new ArgumentException($"A digest has {Size} bytes, not {bytes.Length}.", nameof(bytes));

    /// <summary>The digest of <paramref name="content"/>.</summary>
    public static Digest Of(ReadOnlySpan<byte> content)
    {
        Span<byte> hash = stackalloc byte[Size];
        Sha256.HashData(content, hash);
        return new Digest(hash);
    }

    /// <summary>Reads 64 lowercase hex digits; upper case is refused so that every digest has one spelling.</summary>
    public static bool TryParse(ReadOnlySpan<char> hex, out Digest digest)
    {
        digest = default;
        if (hex.Length != Size * 2 || hex.ContainsAnyInRange('A', 'F'))
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[Size];
        if (Convert.FromHexString(hex, bytes, out _, out _) != System.Buffers.OperationStatus.Done)
        {
            return false;
        }

        digest = new Digest(bytes);
        return true;
    }

    /// <exception cref="FormatException">Not 64 lowercase hex digits.</exception>
    public static Digest Parse(ReadOnlySpan<char> hex) => TryParse(hex, out var digest)
        ? digest
        : throw new FormatException("A SHA-256 digest is written as 64 lowercase hex digits.");

    /// <summary>The 32 raw bytes; valid as long as this value is in scope.</summary>
    [UnscopedRef]
    public ReadOnlySpan<byte> AsSpan() => bytes;

    public byte[] ToArray() => AsSpan().ToArray();

    /// <summary>64 lowercase hex digits.</summary>
    public override string ToString() => Convert.ToHexStringLower(AsSpan());

    public bool Equals(Digest other) => AsSpan().SequenceEqual(other.AsSpan());

    public override bool Equals(object? obj) => obj is Digest other && Equals(other);

    // The bytes are uniformly distributed already.
    public override int GetHashCode() => MemoryMarshal.Read<int>(AsSpan());

    public int CompareTo(Digest other) => AsSpan().SequenceCompareTo(other.AsSpan());

    public static bool operator ==(Digest left, Digest right) => left.Equals(right);

    public static bool operator !=(Digest left, Digest right) => !left.Equals(right);

    [InlineArray(Size)]
    private struct Bytes32
    {
        private byte first;
    }
}
