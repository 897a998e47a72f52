using System.Buffers;
using Slipway.BuildCache.Wire;

namespace Slipway.BuildCache.ByteStream;

/// <summary>A WriteRequest {1 resource_name, 2 write_offset, 3 finish_write, 10 data}, whose parts lie where they arrived.</summary>
internal readonly struct WriteMessage
{
    /// <summary>Tag of field 10 with a length: what nearly all bytes of an upload come behind.</summary>
    private const byte DataTag = 10 << 3 | (int)WireType.Bytes;

    public ReadOnlyMemory<byte> ResourceName { get; private init; }

    public long Offset { get; private init; }

    public bool Finish { get; private init; }

    public ReadOnlySequence<byte> Data { get; private init; }

    /// <exception cref="WireFormatException">Not a WriteRequest.</exception>
    public static WriteMessage Parse(in ReadOnlySequence<byte> message)
    {
        var first = message.First;
        if (message.IsSingleSegment)
        {
            return ParseWhole(first);
        }

        // The data are the last field in every encoder there is, and all before them fits into the first segment nearly always.
        return TryParseHead(first, message, out var parsed) ? parsed : ParseWhole(message.ToArray());
    }

    private static WriteMessage ParseWhole(ReadOnlyMemory<byte> message)
    {
        ReadOnlyMemory<byte> name = default, data = default;
        long offset = 0;
        var finish = false;
        var reader = new ProtoReader(message.Span);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    name = reader.Slice(message);
                    break;
                case 2:
                    offset = reader.Int64();
                    break;
                case 3:
                    finish = reader.Bool();
                    break;
                case 10:
                    data = reader.Slice(message);
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return new WriteMessage { ResourceName = name, Offset = offset, Finish = finish, Data = new ReadOnlySequence<byte>(data) };
    }

    private static bool TryParseHead(ReadOnlyMemory<byte> first, in ReadOnlySequence<byte> message, out WriteMessage parsed)
    {
        parsed = default;
        ReadOnlyMemory<byte> name = default;
        long offset = 0;
        var finish = false;
        var span = first.Span;
        for (var at = 0; at < span.Length;)
        {
            if (span[at] == DataTag)
            {
                if (!TryVarint(span, at + 1, out var length, out at))
                {
                    return false;
                }

                if ((long)length != message.Length - at)
                {
                    // Something behind the data: not worth a second way of reading.
                    return false;
                }

                parsed = new WriteMessage { ResourceName = name, Offset = offset, Finish = finish, Data = message.Slice(at) };
                return true;
            }

            var tag = span[at];
            if (!TryVarint(span, at + 1, out var value, out at))
            {
                return false;
            }

            switch (tag)
            {
                case 1 << 3 | (int)WireType.Bytes when value <= (ulong)(span.Length - at):
                    name = first.Slice(at, (int)value);
                    at += (int)value;
                    break;
                case 2 << 3 | (int)WireType.Varint:
                    offset = (long)value;
                    break;
                case 3 << 3 | (int)WireType.Varint:
                    finish = value != 0;
                    break;
                default:
                    return false;
            }
        }

        return false;
    }

    private static bool TryVarint(ReadOnlySpan<byte> span, int from, out ulong value, out int end)
    {
        value = 0;
        end = from;
        for (var shift = 0; shift < 63 && end < span.Length; shift += 7)
        {
            var next = span[end++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return true;
            }
        }

        return false;
    }
}
