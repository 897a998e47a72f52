using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using Slipway.Native;

namespace Slipway.Tenancy;

/// <summary>The kind letter of a token.</summary>
internal enum TokenKind
{
    UserKey = 'u',
    ServiceKey = 's',
    Session = 't',
}

/// <summary>
/// <c>slp_&lt;kind&gt;_&lt;id:16&gt;&lt;secret:43&gt;&lt;crc:6&gt;</c>, all base62. The id is public and finds the row; the secret is 256 random
/// bits; the CRC32 of everything before it lets junk be refused before any database access, and lets scanners find leaks offline.
/// </summary>
internal readonly ref struct Token
{
    public const int Length = 4 + 2 + IdLength + SecretLength + ChecksumLength;
    public const int IdLength = 16;
    private const int SecretLength = 43;
    private const int ChecksumLength = 6;
    private const string Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    private static readonly SearchValues<char> AllDigits = SearchValues.Create(Digits);

    private Token(TokenKind kind, ReadOnlySpan<char> id, ReadOnlySpan<char> secret)
    {
        Kind = kind;
        Id = id;
        Secret = secret;
    }

    public TokenKind Kind { get; }

    public ReadOnlySpan<char> Id { get; }

    public ReadOnlySpan<char> Secret { get; }

    public static bool TryParse(ReadOnlySpan<char> text, out Token token)
    {
        token = default;
        if (text.Length != Length || !text.StartsWith("slp_", StringComparison.Ordinal) || text[5] != '_' || text[4] is not ('u' or 's' or 't'))
        {
            return false;
        }

        if (text[6..].ContainsAnyExcept(AllDigits))
        {
            return false;
        }

        Span<char> checksum = stackalloc char[ChecksumLength];
        WriteChecksum(text[..^ChecksumLength], checksum);
        if (!text[^ChecksumLength..].SequenceEqual(checksum))
        {
            return false;
        }

        token = new Token((TokenKind)text[4], text.Slice(6, IdLength), text.Slice(6 + IdLength, SecretLength));
        return true;
    }

    /// <summary>What is kept at rest. A fast hash is right here: the secret has 256 bits, nobody guesses it.</summary>
    public void HashSecret(Span<byte> hash)
    {
        Span<byte> bytes = stackalloc byte[SecretLength];
        Encoding.ASCII.GetBytes(Secret, bytes);
        Sha256.HashData(bytes, hash);
    }

    public static FreshToken New(TokenKind kind)
    {
        Span<char> text = stackalloc char[Length];
        "slp_".CopyTo(text);
        text[4] = (char)kind;
        text[5] = '_';
        RandomNumberGenerator.GetItems(Digits, text.Slice(6, IdLength));
        // 43 uniform digits of 62 hold 256.03 bits.
        RandomNumberGenerator.GetItems(Digits, text.Slice(6 + IdLength, SecretLength));
        WriteChecksum(text[..^ChecksumLength], text[^ChecksumLength..]);
        TryParse(text, out var token);
        var hash = new byte[SHA256.HashSizeInBytes];
        token.HashSecret(hash);
        return new FreshToken(text.ToString(), token.Id.ToString(), hash);
    }

    private static void WriteChecksum(ReadOnlySpan<char> text, Span<char> checksum)
    {
        var crc = Crc32.Of(text);
        for (var i = ChecksumLength - 1; i >= 0; i--)
        {
            checksum[i] = Digits[(int)(crc % 62)];
            crc /= 62;
        }
    }
}

/// <summary>A token just made: the only time its whole text exists.</summary>
internal sealed record FreshToken(string Text, string Id, byte[] SecretHash);

/// <summary>CRC-32 of IEEE 802.3, the one of zip and PNG. The framework has none outside a package.</summary>
internal static class Crc32
{
    private static readonly uint[] Table = MakeTable();

    public static uint Of(ReadOnlySpan<char> ascii)
    {
        var crc = uint.MaxValue;
        foreach (var character in ascii)
        {
            crc = Table[(byte)(crc ^ character)] ^ (crc >> 8);
        }

        return ~crc;
    }

    private static uint[] MakeTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            var value = i;
            for (var bit = 0; bit < 8; bit++)
            {
                value = (value & 1) != 0 ? 0xEDB88320 ^ (value >> 1) : value >> 1;
            }

            table[i] = value;
        }

        return table;
    }
}
