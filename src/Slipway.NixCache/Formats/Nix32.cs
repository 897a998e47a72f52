namespace Slipway.NixCache.Formats;

/// <summary>
/// Nix's base 32 (nix.md 2.3): counted from the end, character k holds bits 5k to 5k+4 of the bytes read as a little-endian number.
/// Not RFC 4648, and no padding.
/// </summary>
internal static class Nix32
{
    public const string Alphabet = "0123456789abcdfghijklmnpqrsvwxyz";

    /// <summary>Marks a byte that is no nix32 character in <see cref="DigitOf"/>.</summary>
    public const byte NoDigit = 0xFF;

    /// <summary>The value of each byte as a digit, for all 256 byte values.</summary>
    public static ReadOnlySpan<byte> DigitOf => Digits;

    private static readonly byte[] Digits = MakeDigits();

    /// <summary>Characters that <paramref name="bytes"/> bytes take: 32 for a store path hash, 52 for a SHA-256.</summary>
    public static int EncodedLength(int bytes) => ((bytes * 8) + 4) / 5;

    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        Span<char> text = stackalloc char[128];
        var length = EncodedLength(bytes.Length);
        text = length <= text.Length ? text[..length] : new char[length];
        for (var k = 0; k < length; k++)
        {
            var (index, shift) = Math.DivRem(k * 5, 8);
            var bits = bytes[index] >> shift;
            if (index + 1 < bytes.Length)
            {
                bits |= bytes[index + 1] << (8 - shift);
            }

            text[length - 1 - k] = Alphabet[bits & 31];
        }

        return new string(text);
    }

    /// <summary>
    /// Fills <paramref name="bytes"/> exactly. False on another length, on other characters, and when bits beyond the last byte
    /// are set: so every value has one spelling.
    /// </summary>
    public static bool TryDecode(ReadOnlySpan<char> text, Span<byte> bytes)
    {
        if (text.Length != EncodedLength(bytes.Length))
        {
            return false;
        }

        bytes.Clear();
        for (var k = 0; k < text.Length; k++)
        {
            var character = text[text.Length - 1 - k];
            var digit = character < 256 ? Digits[character] : NoDigit;
            if (digit == NoDigit)
            {
                return false;
            }

            var (index, shift) = Math.DivRem(k * 5, 8);
            bytes[index] |= (byte)(digit << shift);
            var carry = digit >> (8 - shift);
            if (carry != 0)
            {
                if (index + 1 == bytes.Length)
                {
                    return false;
                }

                bytes[index + 1] |= (byte)carry;
            }
        }

        return true;
    }

    private static byte[] MakeDigits()
    {
        var digits = new byte[256];
        Array.Fill(digits, NoDigit);
        for (var digit = 0; digit < Alphabet.Length; digit++)
        {
            digits[Alphabet[digit]] = (byte)digit;
        }

        return digits;
    }
}
