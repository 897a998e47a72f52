namespace Slipway.Tenancy;

/// <summary>What orgs, users and service accounts may be called.</summary>
internal static class Names
{
    public const string Rule = "must be 2 to 39 characters of a-z, 0-9 and -, starting with a letter";

    /// <summary>A line in a table.</summary>
    public const int LongestLabel = 100;

    public const string LabelRule = "must be 1 to 100 characters without control characters";

    public static bool IsValid(string name)
    {
        if (name.Length is < 2 or > 39 || !char.IsAsciiLetterLower(name[0]))
        {
            return false;
        }

        foreach (var character in name)
        {
            if (!char.IsAsciiLetterLower(character) && !char.IsAsciiDigit(character) && character != '-')
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>A name for people: display names, names of keys.</summary>
    public static bool IsLabel(string label) =>
        label.Length is > 0 and <= LongestLabel && !string.IsNullOrWhiteSpace(label) && !label.Any(char.IsControl);
}
