using System.Buffers;
using System.Text;

namespace Slipway.Grpc;

/// <summary>Writes the few protobuf messages that belong to gRPC itself: statuses, health, reflection. Default values are left out, as proto3 wants.</summary>
internal sealed class ProtoWriter
{
    private readonly ArrayBufferWriter<byte> bytes = new();

    public ReadOnlySpan<byte> Written => bytes.WrittenSpan;

    public void Number(int field, ulong value)
    {
        if (value != 0)
        {
            Varint((uint)field << 3);
            Varint(value);
        }
    }

    public void Text(int field, string value)
    {
        if (value.Length > 0)
        {
            Varint(((uint)field << 3) | 2);
            Varint((ulong)Encoding.UTF8.GetByteCount(value));
            Encoding.UTF8.GetBytes(value, bytes);
        }
    }

    /// <summary>A nested message or bytes; written even when empty, because an empty message that is there differs from none.</summary>
    public void Bytes(int field, ReadOnlySpan<byte> value)
    {
        Varint(((uint)field << 3) | 2);
        Varint((ulong)value.Length);
        bytes.Write(value);
    }

    public byte[] ToArray() => bytes.WrittenSpan.ToArray();

    private void Varint(ulong value)
    {
        var span = bytes.GetSpan(10);
        var at = 0;
        while (value >= 0x80)
        {
            span[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        span[at++] = (byte)value;
        bytes.Advance(at);
    }
}
