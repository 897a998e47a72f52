using System.CommandLine;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Shell;

/// <summary>The page behind <c>--help</c>: of the program, of a noun, of a verb.</summary>
internal static class HelpPage
{
    public static void Write(Command command, TextWriter output, Style style, int width)
    {
        if (command.Parents.FirstOrDefault() is null)
        {
            WriteProgram(output, style, width);
            return;
        }

        var path = UsageErrors.PathOf(command);
        Wrap(output, $"{style.Bold(path)}  {command.Description}", path.Length + 2, width, visiblePrefix: path.Length + 2, text: command.Description ?? "");
        Section("Usage", output, style);
        output.WriteLine($"  {path}{Usage(command)}");
        if (command.Subcommands.Count > 0)
        {
            Section("Commands", output, style);
            Columns([.. command.Subcommands.Where(sub => !sub.Hidden).SelectMany(Leaves).Select(leaf => (leaf.Path, leaf.Command.Description ?? ""))], output, style, width);
        }

        if (command.Arguments.Count > 0)
        {
            Section("Arguments", output, style);
            Columns([.. command.Arguments.Select(argument => (argument.Name + (argument.Arity.MaximumNumberOfValues > 1 ? "…" : ""), argument.Description ?? ""))], output, style, width);
        }

        var own = command.Options.Where(option => !option.Hidden && !CommonOptions.All.Contains(option)).ToList();
        if (own.Count > 0)
        {
            Section("Options", output, style);
            Columns([.. own.Select(OptionRow)], output, style, width);
        }

        output.WriteLine();
        output.WriteLine(style.Dim($"Everywhere: {string.Join(' ', CommonOptions.All.Select(option => option.Name))}   (slipway --help)"));
        if (command is Verb verb)
        {
            if (verb.Remarks is { } remarks)
            {
                output.WriteLine();
                foreach (var line in remarks.Split('\n'))
                {
                    Wrap(output, line, 0, width, 0, line);
                }
            }

            if (verb.Examples.Count > 0)
            {
                Section("Examples", output, style);
                foreach (var example in verb.Examples)
                {
                    output.WriteLine($"  {style.Dim("$")} slipway {example}");
                }
            }
        }
        else if (command.Subcommands.Count > 0)
        {
            output.WriteLine();
            output.WriteLine(style.Dim($"More on one of them: {path} COMMAND --help"));
        }
    }

    private static void WriteProgram(TextWriter output, Style style, int width)
    {
        output.WriteLine($"{style.Bold("slipway")}  build, cache, ship and run your software on your own machines");
        Section("Usage", output, style);
        output.WriteLine("  slipway COMMAND [VERB] [options]");
        var column = CommandTree.Nouns.Max(noun => noun.Name.Length) + 4;
        foreach (var group in CommandTree.Nouns.GroupBy(noun => noun.Group))
        {
            Section(group.Key, output, style);
            foreach (var noun in group)
            {
                Row(noun.Name, noun.Summary, column, output, style, width);
            }
        }

        Section("Common options", output, style);
        Columns([.. CommonOptions.All.Select(OptionRow)], output, style, width);
        output.WriteLine();
        output.WriteLine(style.Dim("More on one of them: slipway COMMAND --help"));
    }

    private static IEnumerable<(string Path, Command Command)> Leaves(Command command) =>
        command.Subcommands.Count == 0
            ? [(command.Name, command)]
            : command.Subcommands.SelectMany(Leaves).Select(leaf => ($"{command.Name} {leaf.Path}", leaf.Command));

    private static string Usage(Command command)
    {
        if (command.Subcommands.Count > 0)
        {
            return " COMMAND [options]";
        }

        var words = command.Arguments.Select(argument =>
        {
            var name = argument.Arity.MaximumNumberOfValues > 1 ? $"{argument.Name}…" : argument.Name;
            return argument.Arity.MinimumNumberOfValues == 0 ? $" [{name}]" : $" {name}";
        });
        var required = command.Options.Where(option => option.Required).Select(option => $" {option.Name} {option.HelpName}");
        return string.Concat(words) + string.Concat(required) + " [options]";
    }

    private static (string Left, string Right) OptionRow(Option option)
    {
        var names = option.Aliases.OrderBy(alias => alias.Length).Append(option.Name);
        return (string.Join(", ", names) + (option.HelpName is { } value ? " " + value : ""), option.Description + (option.Required ? " (required)" : ""));
    }

    private static void Section(string title, TextWriter output, Style style)
    {
        output.WriteLine();
        output.WriteLine(style.Bold(title));
    }

    private static void Columns(IReadOnlyList<(string Left, string Right)> rows, TextWriter output, Style style, int width)
    {
        // A left side wider than a third of the page gets a line of its own instead of pushing all the others right.
        var column = rows.Select(row => row.Left.Length).Where(length => length <= Math.Max(24, width / 3)).DefaultIfEmpty(20).Max() + 4;
        foreach (var (left, right) in rows)
        {
            Row(left, right, column, output, style, width);
        }
    }

    private static void Row(string left, string right, int column, TextWriter output, Style style, int width)
    {
        if (left.Length + 4 > column)
        {
            output.WriteLine($"  {style.Cyan(left)}");
            output.Write(new string(' ', column));
        }
        else
        {
            output.Write("  " + style.Cyan(left) + new string(' ', column - left.Length - 2));
        }

        Wrap(output, right, column, width, column, right);
    }

    private static void Wrap(TextWriter output, string styled, int indent, int width, int visiblePrefix, string text)
    {
        if (visiblePrefix + text.Length <= width)
        {
            output.WriteLine(styled);
            return;
        }

        output.Write(styled[..(styled.Length - text.Length)]);
        var room = Math.Max(20, width - indent);
        var used = 0;
        foreach (var word in text.Split(' '))
        {
            if (used > 0 && used + 1 + word.Length > room)
            {
                output.WriteLine();
                output.Write(new string(' ', indent));
                used = 0;
            }

            output.Write(used == 0 ? word : " " + word);
            used += word.Length + (used == 0 ? 0 : 1);
        }

        output.WriteLine();
    }
}
