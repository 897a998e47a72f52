using System.Buffers.Text;

namespace Slipway.Resp;

/// <summary>The few forms of RESP that a client writes: an array of bulk strings.</summary>
internal static class RespEncoding
{
    /// <summary>Characters of a number in decimal.</summary>
    public static int LengthOf(long number)
    {
        int length = number < 0 ? 2 : 1;
        // Towards zero, so that the smallest long needs no special case.
        while ((number /= 10) != 0)
        {
            length++;
        }

        return length;
    }

    /// <summary>Bytes of <c>*n\r\n</c> or <c>$n\r\n</c>.</summary>
    public static int HeaderSize(int number) => 3 + LengthOf(number);

    /// <summary>Bytes of a whole bulk string.</summary>
    public static long BulkSize(int length) => HeaderSize(length) + (long)length + 2;

    public static int WriteHeader(Span<byte> target, int position, byte type, int number)
    {
        target[position++] = type;
        Utf8Formatter.TryFormat(number, target[position..], out int written);
        return WriteEnd(target, position + written);
    }

    public static int WriteEnd(Span<byte> target, int position)
    {
        target[position] = (byte)'\r';
        target[position + 1] = (byte)'\n';
        return position + 2;
    }

    public static int WriteBulk(Span<byte> target, int position, in RespArgument argument)
    {
        position = WriteHeader(target, position, (byte)'$', argument.Length);
        argument.CopyTo(target[position..]);
        return WriteEnd(target, position + argument.Length);
    }
}
