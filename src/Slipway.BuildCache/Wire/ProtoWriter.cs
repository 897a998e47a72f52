using System.Numerics;
using System.Runtime.CompilerServices;

namespace Slipway.BuildCache.Wire;

/// <summary>
/// Writes protobuf fields into a span that is long enough: callers work out lengths first with the static functions, because a
/// gRPC message and every message inside another start with their length.
/// </summary>
internal ref struct ProtoWriter(Span<byte> destination)
{
    private readonly Span<byte> destination = destination;

    public int Position { get; private set; }

    /// <summary>Bytes that <paramref name="value"/> takes as a varint: one for every 7 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int VarintLength(ulong value) => (BitOperations.Log2(value | 1) * 9 + 73) / 64;

    /// <summary>Bytes of a varint field, 0 for the default, which is never written. Field numbers are below 16 in all of REAPI.</summary>
    public static int VarintFieldLength(long value) => value == 0 ? 0 : 1 + VarintLength((ulong)value);

    /// <summary>Bytes of a bytes field of that length.</summary>
    public static int BytesFieldLength(long length) => 1 + VarintLength((ulong)length) + checked((int)length);

    public static byte Tag(int field, WireType type) => (byte)(field << 3 | (int)type);

    public void Varint(ulong value)
    {
        while (value >= 0x80)
        {
            destination[Position++] = (byte)(value | 0x80);
            value >>= 7;
        }

        destination[Position++] = (byte)value;
    }

    public void VarintField(int field, long value)
    {
        if (value != 0)
        {
            destination[Position++] = Tag(field, WireType.Varint);
            Varint((ulong)value);
        }
    }

    /// <summary>Tag and length of a field whose bytes follow.</summary>
    public void BytesHeader(int field, long length)
    {
        destination[Position++] = Tag(field, WireType.Bytes);
        Varint((ulong)length);
    }

    public void BytesField(int field, scoped ReadOnlySpan<byte> value)
    {
        BytesHeader(field, value.Length);
        Raw(value);
    }

    public void Raw(scoped ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(destination[Position..]);
        Position += bytes.Length;
    }

    /// <summary>Gives the next <paramref name="length"/> bytes to somebody else to fill.</summary>
    public Span<byte> Reserve(int length)
    {
        var span = destination.Slice(Position, length);
        Position += length;
        return span;
    }
}
