using System.Text;
using System.Text.RegularExpressions;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Producing;

/// <summary>
/// A pattern for paths relative to a folder, parted by <c>/</c>: <c>*</c> and <c>?</c> within a name, <c>**</c> over any number of
/// folders, <c>[a-z]</c>, <c>{csv,tsv}</c>. Without a <c>/</c> it fits a name in any folder, as in a .gitignore.
/// </summary>
internal sealed class Glob
{
    private readonly Regex form;

    public Glob(string pattern)
    {
        Pattern = pattern;
        var anchored = pattern.Contains('/', StringComparison.Ordinal) ? pattern.TrimStart('/') : "**/" + pattern;
        try
        {
            // Linear in the length of the path, whatever the pattern.
            form = new Regex($"^{Translate(anchored)}$", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | RegexOptions.Singleline);
        }
        catch (ArgumentException)
        {
            throw CliFailure.Usage($"\"{pattern}\" is not a pattern for paths", "'**/*.csv'", "'reports/{2025,2026}/*.[ct]sv'");
        }
    }

    public string Pattern { get; }

    public bool Matches(string path) => form.IsMatch(path);

    private static string Translate(string pattern)
    {
        var regex = new StringBuilder();
        var braces = 0;
        for (var i = 0; i < pattern.Length; i++)
        {
            var c = pattern[i];
            switch (c)
            {
                case '*' when i + 1 < pattern.Length && pattern[i + 1] == '*':
                    i++;
                    if (i + 1 < pattern.Length && pattern[i + 1] == '/')
                    {
                        i++;
                        regex.Append("(?:[^/]*/)*");
                    }
                    else
                    {
                        regex.Append(".*");
                    }

                    break;
                case '*':
                    regex.Append("[^/]*");
                    break;
                case '?':
                    regex.Append("[^/]");
                    break;
                case '[' when pattern.IndexOf(']', i + 2) is > 0 and var end:
                    var set = pattern[(i + 1)..end];
                    var negated = set[0] is '!' or '^';
                    regex.Append(negated ? "[^/" : "[").Append((negated ? set[1..] : set).Replace("\\", "\\\\", StringComparison.Ordinal).Replace("[", "\\[", StringComparison.Ordinal)).Append(']');
                    i = end;
                    break;
                case '{':
                    braces++;
                    regex.Append("(?:");
                    break;
                case '}' when braces > 0:
                    braces--;
                    regex.Append(')');
                    break;
                case ',' when braces > 0:
                    regex.Append('|');
                    break;
                case '\\' when i + 1 < pattern.Length:
                    regex.Append(Regex.Escape(pattern[++i].ToString()));
                    break;
                default:
                    regex.Append(Regex.Escape(c.ToString()));
                    break;
            }
        }

        return regex.ToString();
    }
}
