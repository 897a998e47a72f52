using System.Collections.Frozen;
using System.Text;

namespace Slipway.Tenancy;

/// <summary>
/// 12 to 256 characters of any kind, no rules of composition (they make worse passwords), but nothing that is tried first: well-known
/// passwords, also with digits around them, doubled or in letter-for-digit writing, runs and the user's own name.
/// </summary>
internal static class PasswordRules
{
    public const int Shortest = 12;

    /// <summary>Far over any passphrase; bounds the work of hashing.</summary>
    public const int Longest = 256;

    private const string Sequences = "01234567890123456789 abcdefghijklmnopqrstuvwxyz qwertyuiopasdfghjklzxcvbnm 1qaz2wsx3edc4rfv5tgb6yhn7ujm 98765432109876543210";

    private static readonly FrozenSet<string> Common = ReadCommon();

    /// <summary>What is wrong with it, or null.</summary>
    public static string? FaultOf(string password, string userName)
    {
        var length = password.EnumerateRunes().Count();
        if (length is < Shortest or > Longest)
        {
            return $"must have {Shortest} to {Longest} characters";
        }

        var lower = password.ToLowerInvariant();
        // Two letters are in everything; from three on a name in a password is a hint.
        if (userName.Length >= 3 && lower.Contains(userName, StringComparison.Ordinal))
        {
            return "must not contain the user name";
        }

        return IsCommon(lower) || IsCommon(PlainLetters(lower)) ? "is one of those that are tried first; choose another" : null;
    }

    private static bool IsCommon(string text)
    {
        if (Common.Contains(text) || Sequences.Contains(text, StringComparison.Ordinal))
        {
            return true;
        }

        var word = text.Trim("0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ".ToCharArray());
        if (word.Length == 0)
        {
            // Only digits and signs: fine when they vary.
            word = text;
        }
        else if (Common.Contains(word))
        {
            return true;
        }

        // "passwordpassword", "aaaaaaaaaaaa", "abcabcabcabc"
        for (var period = 1; period <= word.Length / 2; period++)
        {
            if (word.Length % period == 0 && IsRepetition(word, period) && (period <= 4 || Common.Contains(word[..period])))
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsRepetition(string text, int period)
    {
        for (var i = period; i < text.Length; i++)
        {
            if (text[i] != text[i - period])
            {
                return false;
            }
        }

        return true;
    }

    private static string PlainLetters(string text)
    {
        var plain = new StringBuilder(text.Length);
        foreach (var character in text)
        {
            plain.Append(character switch
            {
                '0' => 'o',
                '1' or '!' => 'i',
                '3' => 'e',
                '4' or '@' => 'a',
                '5' or '$' => 's',
                '7' => 't',
                _ => character,
            });
        }

        return plain.ToString();
    }

    private static FrozenSet<string> ReadCommon()
    {
        using var stream = typeof(PasswordRules).Assembly.GetManifestResourceStream("Slipway.Tenancy.common-passwords.txt")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries).ToFrozenSet(StringComparer.Ordinal);
    }
}
