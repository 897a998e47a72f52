using System.Diagnostics.CodeAnalysis;

namespace Slipway.Tenancy;

/// <summary>One scope of a key: <c>service:action:pattern</c>. The pattern is literal, or ends in one <c>*</c> that stands for any rest.</summary>
internal sealed record Scope(string Service, string Action, string Pattern)
{
    /// <summary>An org slug, a slash and a resource name of 100 characters, with room.</summary>
    public const int LongestPattern = 200;

    public static bool TryParse(string text, [NotNullWhen(true)] out Scope? scope, out string fault)
    {
        scope = null;
        var parts = text.Split(':');
        if (parts is not [{ Length: > 0 } service, { Length: > 0 } action, { Length: > 0 and <= LongestPattern } pattern])
        {
            fault = "must have the form service:action:pattern, such as nix:push:acme/dev-*";
            return false;
        }

        foreach (var (index, character) in pattern.Index())
        {
            var allowed = char.IsAsciiLetterLower(character) || char.IsAsciiDigit(character) || character is '-' or '_' or '.' or '/' ||
                (character == '*' && index == pattern.Length - 1);
            if (!allowed)
            {
                fault = character == '*'
                    ? "has a * that is not at the end; the pattern is literal or ends in one *"
                    : "has a pattern with characters other than a-z 0-9 - _ . / and one * at the end";
                return false;
            }
        }

        fault = "";
        scope = new Scope(service, action, pattern);
        return true;
    }

    public bool Grants(Permission permission, string target) =>
        Service == permission.Service && Action == permission.Action && Matches(target);

    public override string ToString() => $"{Service}:{Action}:{Pattern}";

    private bool Matches(string target) => Pattern[^1] == '*'
        ? target.AsSpan().StartsWith(Pattern.AsSpan(0, Pattern.Length - 1), StringComparison.Ordinal)
        : string.Equals(Pattern, target, StringComparison.Ordinal);
}
