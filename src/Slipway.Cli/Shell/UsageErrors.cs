using System.CommandLine;
using System.CommandLine.Parsing;

namespace Slipway.Cli.Shell;

/// <summary>Turns what the parser did not like into one <see cref="CliFailure"/> that names the word and the nearest right one.</summary>
internal static class UsageErrors
{
    private const string Missing = " is missing";

    private static readonly Comparer<string> NamesFirst = Comparer<string>.Create(
        static (a, b) => a.StartsWith('-').CompareTo(b.StartsWith('-')));

    public static CliFailure? Find(ParseResult parse)
    {
        var command = parse.CommandResult.Command;
        var path = PathOf(command);
        if (parse.UnmatchedTokens is [var word, ..])
        {
            return Unknown(word, command, path);
        }

        // A noun without a verb is an error to the parser; here it gets the noun's help instead.
        if (command is not Verb || parse.Errors.Count == 0)
        {
            return null;
        }

        var faults = parse.Errors.Select(error => Words(error, parse)).Distinct(StringComparer.Ordinal).ToList();
        var missing = faults.Where(fault => fault.EndsWith(Missing, StringComparison.Ordinal)).Select(fault => fault[..^Missing.Length]).Order(NamesFirst).ToList();
        var others = faults.Where(fault => !fault.EndsWith(Missing, StringComparison.Ordinal)).ToList();
        if (missing.Count > 0)
        {
            others.Add($"{string.Join(" and ", missing)} {(missing.Count == 1 ? "is" : "are")} missing");
        }

        return new CliFailure(ExitCodes.Usage, "usage", string.Join("; ", others)) { Try = [$"{path} --help"] };
    }

    public static string PathOf(Command command)
    {
        var names = new Stack<string>();
        for (Symbol? symbol = command; symbol is Command; symbol = symbol.Parents.FirstOrDefault())
        {
            names.Push(symbol.Name);
        }

        return string.Join(' ', names);
    }

    private static CliFailure Unknown(string word, Command command, string path)
    {
        var isOption = word.StartsWith('-');
        var known = isOption
            ? command.Options.Concat(CommonOptions.All).SelectMany(option => option.Aliases.Prepend(option.Name))
            : command.Subcommands.Select(sub => sub.Name);
        var near = Nearest(word, known);
        var what = isOption
            ? $"{path} has no option {word}"
            : command.Subcommands.Count > 0 ? $"there is no command \"{path} {word}\"" : $"{path} does not expect \"{word}\"";
        return new CliFailure(ExitCodes.Usage, "usage", what)
        {
            Cause = near is null ? null : $"did you mean {near}?",
            Try = [near is not null && !isOption ? $"{path} {near} --help" : $"{path} --help"],
        };
    }

    // The parser's sentences are about symbols; ours are about what to type.
    private static string Words(ParseError error, ParseResult parse) => error.SymbolResult switch
    {
        ArgumentResult { Tokens.Count: 0, Argument: var argument } when parse.CommandResult.Command.Arguments.Contains(argument) =>
            argument.Name + Missing,
        OptionResult { Tokens.Count: 0, Implicit: true, Option: var option } => option.Name + Missing,
        OptionResult { Tokens.Count: 0, Option: var option } => $"{option.Name} wants {option.HelpName ?? "a value"} after it",
        CommandResult when error.Message.Contains("Option '", StringComparison.Ordinal) => error.Message.Replace("Option '", "", StringComparison.Ordinal).Replace("' is required.", " is missing", StringComparison.Ordinal),
        _ => error.Message.TrimEnd('.'),
    };

    /// <summary>The known word within two edits (a third of the length for short ones), the closest first.</summary>
    public static string? Nearest(string word, IEnumerable<string> known)
    {
        var most = Math.Clamp(word.Length / 2, 1, 3);
        return known
            .Select(candidate => (candidate, distance: Distance(word, candidate)))
            .Where(pair => pair.distance <= most || (word.Length >= 2 && pair.candidate.StartsWith(word, StringComparison.Ordinal)))
            .OrderBy(pair => pair.distance)
            .ThenBy(pair => pair.candidate, StringComparer.Ordinal)
            .Select(pair => pair.candidate)
            .FirstOrDefault();
    }

    /// <summary>Edits between two words, a swap of neighbours counting as one (optimal string alignment).</summary>
    private static int Distance(string a, string b)
    {
        var d = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++)
        {
            d[i, 0] = i;
        }

        for (var j = 0; j <= b.Length; j++)
        {
            d[0, j] = j;
        }

        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                var cost = a[i - 1] == b[j - 1] ? 0 : 1;
                d[i, j] = Math.Min(Math.Min(d[i - 1, j] + 1, d[i, j - 1] + 1), d[i - 1, j - 1] + cost);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
                }
            }
        }

        return d[a.Length, b.Length];
    }
}
