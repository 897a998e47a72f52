using System.Text;

namespace Slipway.Cli.Nix;

/// <summary>
/// A netrc file as text: tokens parted by white space, <c>#</c> comments to the end of a line, <c>macdef</c> bodies to an empty line.
/// Changing one machine's entry leaves every other character as it was.
/// </summary>
internal sealed class Netrc
{
    private readonly string text;
    private readonly List<Entry> entries;

    private Netrc(string text, List<Entry> entries)
    {
        this.text = text;
        this.entries = entries;
    }

    /// <param name="Machine">Null for <c>default</c>.</param>
    private sealed record Entry(string? Machine, int Start, int End, string? Password);

    public static Netrc Parse(string text)
    {
        var entries = new List<Entry>();
        var tokens = Tokens(text);
        for (var i = 0; i < tokens.Count; i++)
        {
            var start = tokens[i].Start;
            string? machine = null;
            switch (tokens[i].Text)
            {
                case "machine" when i + 1 < tokens.Count:
                    machine = tokens[++i].Text;
                    break;
                case "default":
                    break;
                default:
                    continue;
            }

            string? password = null;
            var end = tokens[i].End;
            while (i + 2 < tokens.Count && tokens[i + 1].Text is ("login" or "password" or "account"))
            {
                password = tokens[i + 1].Text == "password" ? tokens[i + 2].Text : password;
                i += 2;
                end = tokens[i].End;
            }

            entries.Add(new Entry(machine, start, end, password));
        }

        return new Netrc(text, entries);
    }

    public string? PasswordOf(string machine) => entries.Find(entry => entry.Machine == machine)?.Password;

    public bool Has(string machine) => entries.Exists(entry => entry.Machine == machine);

    /// <summary>The file with this machine's entry set: in place, or before <c>default</c> (which ends the search), or at the end.</summary>
    public string With(string machine, string login, string password)
    {
        var line = $"machine {machine} login {login} password {password}";
        if (entries.Find(entry => entry.Machine == machine) is { } existing)
        {
            return text[..existing.Start] + line + text[existing.End..];
        }

        if (entries.Find(entry => entry.Machine is null) is { } fallback)
        {
            return text[..fallback.Start] + line + "\n" + text[fallback.Start..];
        }

        return text + (text.Length == 0 || text.EndsWith('\n') ? "" : "\n") + line + "\n";
    }

    private static List<(string Text, int Start, int End)> Tokens(string text)
    {
        var tokens = new List<(string, int, int)>();
        for (var i = 0; i < text.Length;)
        {
            if (char.IsWhiteSpace(text[i]))
            {
                i++;
                continue;
            }

            if (text[i] == '#')
            {
                i = EndOfLine(text, i);
                continue;
            }

            var start = i;
            var token = new StringBuilder();
            if (text[i] == '"')
            {
                for (i++; i < text.Length && text[i] != '"'; i++)
                {
                    if (text[i] == '\\' && i + 1 < text.Length)
                    {
                        i++;
                    }

                    token.Append(text[i]);
                }

                i = Math.Min(i + 1, text.Length);
            }
            else
            {
                while (i < text.Length && !char.IsWhiteSpace(text[i]))
                {
                    token.Append(text[i++]);
                }
            }

            if (token.ToString() == "macdef")
            {
                var end = text.IndexOf("\n\n", i, StringComparison.Ordinal);
                i = end < 0 ? text.Length : end;
                continue;
            }

            tokens.Add((token.ToString(), start, i));
        }

        return tokens;
    }

    private static int EndOfLine(string text, int from)
    {
        var end = text.IndexOf('\n', from);
        return end < 0 ? text.Length : end;
    }
}
