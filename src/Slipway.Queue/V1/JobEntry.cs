using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Slipway.Queue.V1;

/// <summary>
/// The immutable part of a job as Redis stores it: version byte, then type, traceparent and tracestate, each as a 16-bit
/// big-endian length and UTF-8, then the payload to the end. The mutable part (attempts, token) is the scripts' run record.
/// </summary>
internal readonly record struct JobEntry(string Type, string TraceParent, string TraceState, ReadOnlyMemory<byte> Payload)
{
    private const byte Version = 1;

    public byte[] Write()
    {
        string[] texts = [Type, TraceParent, TraceState];
        byte[] bytes = new byte[1 + texts.Sum(text => 2 + Encoding.UTF8.GetByteCount(text)) + Payload.Length];
        bytes[0] = Version;
        int position = 1;
        foreach (string text in texts)
        {
            int length = Encoding.UTF8.GetBytes(text, bytes.AsSpan(position + 2));
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(position), checked((ushort)length));
            position += 2 + length;
        }

        Payload.Span.CopyTo(bytes.AsSpan(position));
        return bytes;
    }

    public static bool TryRead(ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out JobEntry? entry)
    {
        entry = null;
        if (bytes.IsEmpty || bytes.Span[0] != Version)
        {
            return false;
        }

        bytes = bytes[1..];
        var texts = new string[3];
        for (int i = 0; i < texts.Length; i++)
        {
            if (bytes.Length < 2 || BinaryPrimitives.ReadUInt16BigEndian(bytes.Span) is var length && bytes.Length - 2 < length)
            {
                return false;
            }

            texts[i] = Encoding.UTF8.GetString(bytes.Span.Slice(2, length));
            bytes = bytes[(2 + length)..];
        }

        entry = new JobEntry(texts[0], texts[1], texts[2], bytes);
        return true;
    }
}
