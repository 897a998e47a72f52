using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Primitives;

namespace Slipway.Grpc;

/// <summary>
/// Values of <c>…-bin</c> keys: base64 with or without padding, several joined by commas or as header lines of their own.
/// </summary>
internal static class BinaryMetadata
{
    public static string Encode(ReadOnlySpan<byte> value) => Convert.ToBase64String(value).TrimEnd('=');

    public static IEnumerable<byte[]> DecodeAll(StringValues lines)
    {
        foreach (var line in lines)
        {
            foreach (var part in (line ?? "").Split(',', StringSplitOptions.TrimEntries))
            {
                if (TryDecode(part, out var value))
                {
                    yield return value;
                }
            }
        }
    }

    public static bool TryDecodeFirst(StringValues lines, [NotNullWhen(true)] out byte[]? value)
    {
        value = null;
        if (lines.Count == 0 || lines[0] is not { } line)
        {
            return false;
        }

        var text = line.AsSpan();
        var comma = text.IndexOf(',');
        return TryDecode((comma < 0 ? text : text[..comma]).Trim(), out value);
    }

    public static bool TryDecode(ReadOnlySpan<char> text, [NotNullWhen(true)] out byte[]? value)
    {
        value = null;
        text = text.TrimEnd('=');
        if (text.Length % 4 == 1)
        {
            return false;
        }

        Span<char> padded = text.Length <= 1024 ? stackalloc char[text.Length + 3] : new char[text.Length + 3];
        text.CopyTo(padded);
        var length = text.Length;
        while (length % 4 != 0)
        {
            padded[length++] = '=';
        }

        if (!Base64.IsValid(padded[..length], out var bytes))
        {
            return false;
        }

        var decoded = new byte[bytes];
        if (!Convert.TryFromBase64Chars(padded[..length], decoded, out _))
        {
            return false;
        }

        value = decoded;
        return true;
    }
}
