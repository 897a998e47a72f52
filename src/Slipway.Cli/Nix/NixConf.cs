using Slipway.Cli.Shell;

namespace Slipway.Cli.Nix;

/// <summary>
/// A <c>nix.conf</c> as text that keeps every line it does not change: comments, order, includes and spelling stay.
/// </summary>
internal sealed class NixConf
{
    private readonly List<string> lines;

    private NixConf(List<string> lines) => this.lines = lines;

    public static NixConf Parse(string text)
    {
        var lines = text.Split('\n').ToList();
        if (lines[^1].Length == 0)
        {
            lines.RemoveAt(lines.Count - 1);
        }

        return new NixConf(lines);
    }

    public override string ToString() => lines.Count == 0 ? "" : string.Join('\n', lines) + "\n";

    /// <summary>The words of a setting; of the last line that sets it, as nix reads it.</summary>
    public IReadOnlyList<string> Words(string name) =>
        Last(name) is { } index ? Split(lines[index]).Value.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries) : [];

    /// <summary>Adds a word to a list setting, to the line that counts. False when it was there.</summary>
    public bool AddWord(string name, string word)
    {
        if (Words(name).Contains(word, StringComparer.Ordinal))
        {
            return false;
        }

        if (Last(name) is { } index)
        {
            var (_, value, comment) = Split(lines[index]);
            lines[index] = $"{lines[index][..(lines[index].IndexOf('=', StringComparison.Ordinal) + 1)]} {value}{(value.Length > 0 ? " " : "")}{word}{comment}";
        }
        else
        {
            lines.Add($"{name} = {word}");
        }

        return true;
    }

    /// <summary>Sets a plain setting; an existing line is replaced. False when it was so.</summary>
    public bool Set(string name, string value)
    {
        if (Last(name) is { } index)
        {
            if (Split(lines[index]).Value == value)
            {
                return false;
            }

            lines[index] = $"{name} = {value}{Split(lines[index]).Comment}";
            return true;
        }

        lines.Add($"{name} = {value}");
        return true;
    }

    private int? Last(string name)
    {
        var index = lines.FindLastIndex(line => Split(line).Name == name);
        return index < 0 ? null : index;
    }

    // Nix cuts a line at the first '#', wherever it stands.
    private static (string? Name, string Value, string Comment) Split(string line)
    {
        var hash = line.IndexOf('#', StringComparison.Ordinal);
        var code = hash < 0 ? line : line[..hash];
        var equals = code.IndexOf('=', StringComparison.Ordinal);
        return equals < 0
            ? (null, "", "")
            : (code[..equals].Trim(), code[(equals + 1)..].Trim(), hash < 0 ? "" : " " + line[hash..]);
    }
}

/// <summary>Where this user's nix reads its settings.</summary>
internal sealed record NixFiles(string ConfPath, string NetrcPath)
{
    public static NixFiles For(CliEnvironment environment)
    {
        var conf = Path.Combine(environment.ConfigFolder("nix"), "nix.conf");
        var folder = environment.Variable("NIX_USER_CONF_FILES") is { } files ? files.Split(':')[0] : conf;
        var existing = File.Exists(folder) ? NixConf.Parse(File.ReadAllText(folder)).Words("netrc-file") : [];
        return new NixFiles(folder, existing is [var path] ? path : Path.Combine(environment.ConfigFolder("nix"), "netrc"));
    }
}
