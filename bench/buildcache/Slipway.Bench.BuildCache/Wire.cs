using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.Bench.BuildCache;

/// <summary>Protobuf messages of the Remote Execution API, written out field by field.</summary>
internal static class Wire
{
    public static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    public static byte[] Message(Action<ArrayBufferWriter<byte>> fields)
    {
        var buffer = new ArrayBufferWriter<byte>();
        fields(buffer);
        return buffer.WrittenSpan.ToArray();
    }

    public static void Text(this ArrayBufferWriter<byte> to, int field, string value) => to.Bytes(field, Encoding.UTF8.GetBytes(value));

    public static void Bytes(this ArrayBufferWriter<byte> to, int field, ReadOnlySpan<byte> value)
    {
        to.Varint((ulong)((field << 3) | 2));
        to.Varint((ulong)value.Length);
        to.Write(value);
    }

    public static void Number(this ArrayBufferWriter<byte> to, int field, long value)
    {
        if (value != 0)
        {
            to.Varint((ulong)(field << 3));
            to.Varint((ulong)value);
        }
    }

    public static byte[] Digest(string hash, long size) => Message(to =>
    {
        to.Text(1, hash);
        to.Number(2, size);
    });

    /// <summary>A message as gRPC frames it.</summary>
    public static byte[] Framed(byte[] message)
    {
        var framed = new byte[5 + message.Length];
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), message.Length);
        message.CopyTo(framed, 5);
        return framed;
    }

    private static void Varint(this ArrayBufferWriter<byte> to, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            to.Write([(byte)(value | 0x80)]);
        }

        to.Write([(byte)value]);
    }
}
