using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Slipway.BuildCache.Wire;

/// <summary>
/// Reads the fields of one protobuf message where it lies. Values are slices of the message; nothing is copied or allocated.
/// </summary>
/// <remarks>
/// <code>
/// var reader = new ProtoReader(message);
/// while (reader.Next(out var field))
///     switch (field) { case 1: name = reader.Bytes(); break;  default: reader.Skip(); break; }
/// </code>
/// A known field of an unexpected wire type is refused rather than skipped: no encoder makes one, so it is noise or an attack.
/// </remarks>
internal ref struct ProtoReader(ReadOnlySpan<byte> message)
{
    /// <summary>Groups were deprecated before REAPI existed; the nesting of unknown ones is bounded all the same.</summary>
    private const int DeepestGroup = 32;

    private readonly ReadOnlySpan<byte> message = message;
    private int position;
    private WireType type;

    /// <summary>Where the next field starts.</summary>
    public readonly int Position => position;

    /// <summary>Moves to the next field; its value has to be read or skipped before the next call. False at the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Next(out int field)
    {
        if (position >= message.Length)
        {
            field = 0;
            return false;
        }

        var tag = RawVarint();
        field = (int)(uint)(tag >> 3);
        type = (WireType)(tag & 7);
        if (field == 0 || tag > uint.MaxValue)
        {
            Malformed("a field has no number");
        }

        return true;
    }

    public ulong Varint()
    {
        Expect(WireType.Varint);
        return RawVarint();
    }

    public long Int64() => (long)Varint();

    /// <summary>int32 and enums: encoders sign-extend negative values to ten bytes.</summary>
    public int Int32() => (int)Varint();

    public bool Bool() => Varint() != 0;

    /// <summary>bytes, string, or an embedded message.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReadOnlySpan<byte> Bytes()
    {
        Expect(WireType.Bytes);
        return Take(Length());
    }

    /// <summary>The same as a slice of the memory that this reads.</summary>
    public ReadOnlyMemory<byte> Slice(ReadOnlyMemory<byte> message)
    {
        var length = Bytes().Length;
        return message.Slice(position - length, length);
    }

    /// <summary>True when the current field is a packed list, or a string: anything with a length.</summary>
    public readonly bool HasLength => type == WireType.Bytes;

    public void Skip() => Skip(type, 0);

    private void Skip(WireType kind, int depth)
    {
        switch (kind)
        {
            case WireType.Varint:
                RawVarint();
                break;
            case WireType.Fixed64:
                Take(8);
                break;
            case WireType.Bytes:
                Take(Length());
                break;
            case WireType.Fixed32:
                Take(4);
                break;
            case WireType.StartGroup when depth < DeepestGroup:
                while (true)
                {
                    var inner = (WireType)(RawVarint() & 7);
                    if (inner == WireType.EndGroup)
                    {
                        return;
                    }

                    Skip(inner, depth + 1);
                }

            default:
                Malformed("a field has an unknown wire type");
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void Expect(WireType expected)
    {
        if (type != expected)
        {
            Malformed("a field has the wrong wire type");
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Length()
    {
        var length = RawVarint();
        if (length > (ulong)(message.Length - position))
        {
            Malformed("a field is longer than its message");
        }

        return (int)length;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > message.Length - position)
        {
            Malformed("it is cut short");
        }

        var bytes = message.Slice(position, length);
        position += length;
        return bytes;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong RawVarint()
    {
        if (position < message.Length && message[position] < 0x80)
        {
            return message[position++];
        }

        return LongVarint();
    }

    private ulong LongVarint()
    {
        ulong value = 0;
        for (var shift = 0; shift < 70; shift += 7)
        {
            if (position >= message.Length)
            {
                Malformed("it is cut short");
            }

            var next = message[position++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }

        throw Fault("a number has more than ten bytes");
    }

    [DoesNotReturn]
    private static void Malformed(string why) => throw Fault(why);

    private static WireFormatException Fault(string why) => new($"The message is not valid protobuf: {why}.");
}
