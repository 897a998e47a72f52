using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli;

/// <summary>
/// One run of the program: arguments → <see cref="CommandTree"/> → a <see cref="Verb"/> → exit code.
/// </summary>
/// <remarks>
/// The parser only parses. Help, usage errors and the run itself are ours, because the library's own print errors to stdout and exit 1.
/// </remarks>
internal static class SlipwayCli
{
    private static readonly ParserConfiguration Parsing = new() { ResponseFileTokenReplacer = null };

    public static async Task<int> RunAsync(IReadOnlyList<string> args, CliEnvironment environment, CancellationToken cancellationToken)
    {
        var root = CommandTree.Build(args);
        var parse = root.Parse(args, Parsing);
        var terminal = new Terminal(environment, quiet: parse.GetValue(CommonOptions.Quiet));
        var command = parse.CommandResult.Command;

        if (parse.GetValue(CommonOptions.Help) || (command == root && args.Count == 0))
        {
            HelpPage.Write(command, environment.Out, terminal.OutStyle, terminal.Width);
            return ExitCodes.Ok;
        }

        if (UsageErrors.Find(parse) is { } usage)
        {
            return ErrorReport.Write(usage, terminal, json: parse.GetValue(CommonOptions.Json));
        }

        if (command is not Verb verb)
        {
            // A noun without its verb: the list of its verbs is the answer, and still an error for scripts.
            HelpPage.Write(command, environment.Error, terminal.ErrorStyle, terminal.Width);
            return ExitCodes.Usage;
        }

        using var run = new Invocation(parse, environment, terminal);
        try
        {
            var exit = await verb.RunAsync(run, cancellationToken);
            run.ShowNextSteps();
            return exit;
        }
        catch (Exception exception) when (ErrorReport.Knows(exception, cancellationToken))
        {
            return ErrorReport.Write(exception, terminal, run.Json);
        }
    }
}
