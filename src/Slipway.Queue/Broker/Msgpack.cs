using System.Buffers.Binary;

namespace Slipway.Queue;

/// <summary>Reads the part of MessagePack that Redis' cmsgpack writes: https://github.com/msgpack/msgpack/blob/master/spec.md.</summary>
internal ref struct MsgpackReader(ReadOnlyMemory<byte> data)
{
    private int at;

    private readonly ReadOnlySpan<byte> Rest => data.Span[at..];

    public int ReadArray()
    {
        byte head = data.Span[at++];
        return head switch
        {
            >= 0x90 and <= 0x9f => head & 0xf,
            // An empty Lua table is a map of none.
            0x80 => 0,
            0xdc => (int)Take(2),
            0xdd => checked((int)Take(4)),
            _ => throw Unexpected(head, "a list"),
        };
    }

    public int ReadMap()
    {
        byte head = data.Span[at++];
        return head switch
        {
            >= 0x80 and <= 0x8f => head & 0xf,
            0x90 => 0,
            0xde => (int)Take(2),
            0xdf => checked((int)Take(4)),
            _ => throw Unexpected(head, "a map"),
        };
    }

    public ReadOnlyMemory<byte> ReadBytes()
    {
        byte head = data.Span[at++];
        int length = head switch
        {
            >= 0xa0 and <= 0xbf => head & 0x1f,
            0xc4 or 0xd9 => (int)Take(1),
            0xc5 or 0xda => (int)Take(2),
            0xc6 or 0xdb => checked((int)Take(4)),
            _ => throw Unexpected(head, "a string"),
        };
        ReadOnlyMemory<byte> bytes = data.Slice(at, length);
        at += length;
        return bytes;
    }

    public string ReadString() => System.Text.Encoding.UTF8.GetString(ReadBytes().Span);

    public double ReadNumber()
    {
        byte head = data.Span[at++];
        return head switch
        {
            <= 0x7f => head,
            >= 0xe0 => (sbyte)head,
            0xcc => Take(1),
            0xcd => Take(2),
            0xce => Take(4),
            0xcf => Take(8),
            0xd0 => (sbyte)Take(1),
            0xd1 => (short)Take(2),
            0xd2 => (int)Take(4),
            0xd3 => (long)Take(8),
            0xca => BinaryPrimitives.ReadSingleBigEndian(Advance(4)),
            0xcb => BinaryPrimitives.ReadDoubleBigEndian(Advance(8)),
            _ => throw Unexpected(head, "a number"),
        };
    }

    public long ReadInteger() => (long)ReadNumber();

    private ReadOnlySpan<byte> Advance(int count)
    {
        ReadOnlySpan<byte> bytes = Rest[..count];
        at += count;
        return bytes;
    }

    private ulong Take(int count)
    {
        ulong value = 0;
        foreach (byte one in Advance(count))
        {
            value = (value << 8) | one;
        }

        return value;
    }

    private static InvalidDataException Unexpected(byte head, string wanted) => new($"Expected {wanted}, found the MessagePack type 0x{head:x2}.");
}

/// <summary>Writes lists, maps, strings and numbers for cmsgpack.</summary>
internal sealed class MsgpackWriter
{
    private readonly System.Buffers.ArrayBufferWriter<byte> buffer = new();

    public ReadOnlyMemory<byte> Written => buffer.WrittenMemory;

    public MsgpackWriter Array(int count) => Head(0xdd, (uint)count);

    public MsgpackWriter Map(int count) => Head(0xdf, (uint)count);

    public MsgpackWriter Bytes(ReadOnlySpan<byte> bytes)
    {
        Head(0xdb, (uint)bytes.Length);
        bytes.CopyTo(buffer.GetSpan(Math.Max(1, bytes.Length)));
        buffer.Advance(bytes.Length);
        return this;
    }

    public MsgpackWriter Text(string text) => Bytes(System.Text.Encoding.UTF8.GetBytes(text));

    public MsgpackWriter Number(double value)
    {
        Span<byte> span = buffer.GetSpan(9);
        span[0] = 0xcb;
        BinaryPrimitives.WriteDoubleBigEndian(span[1..], value);
        buffer.Advance(9);
        return this;
    }

    private MsgpackWriter Head(byte type, uint count)
    {
        Span<byte> span = buffer.GetSpan(5);
        span[0] = type;
        BinaryPrimitives.WriteUInt32BigEndian(span[1..], count);
        buffer.Advance(5);
        return this;
    }
}
