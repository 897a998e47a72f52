using System.Buffers;
using System.Globalization;
using System.Text;

namespace Slipway.Grpc;

/// <summary>How <c>grpc-message</c> carries Unicode in an ASCII header.</summary>
internal static class PercentEncoding
{
    /// <summary>Clients take 8 KiB of trailers by default, and the worst text grows threefold.</summary>
    private const int MaxBytes = 2_000;

    private static readonly SearchValues<char> Plain = SearchValues.Create(
        " !\"#$&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~");

    public static string Encode(string message)
    {
        if (message.Length <= MaxBytes && !message.AsSpan().ContainsAnyExcept(Plain))
        {
            return message;
        }

        var bytes = Encoding.UTF8.GetBytes(message);
        var length = Math.Min(bytes.Length, MaxBytes);
        while (length < bytes.Length && length > 0 && (bytes[length] & 0xC0) == 0x80)
        {
            // Not through the middle of a character.
            length--;
        }

        var text = new StringBuilder(length + 32);
        foreach (var one in bytes.AsSpan(0, length))
        {
            if (one is >= 0x20 and <= 0x7E and not (byte)'%')
            {
                text.Append((char)one);
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"%{one:X2}");
            }
        }

        return text.ToString();
    }

    /// <summary>What is no valid escape stays as it is: a message is for people, and losing it helps nobody.</summary>
    public static string Decode(string text)
    {
        if (!text.Contains('%', StringComparison.Ordinal))
        {
            return text;
        }

        var bytes = new byte[Encoding.UTF8.GetMaxByteCount(text.Length)];
        var length = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '%' && i + 2 < text.Length && byte.TryParse(text.AsSpan(i + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var one))
            {
                bytes[length++] = one;
                i += 2;
            }
            else
            {
                length += Encoding.UTF8.GetBytes(text.AsSpan(i, 1), bytes.AsSpan(length));
            }
        }

        return Encoding.UTF8.GetString(bytes, 0, length);
    }
}
