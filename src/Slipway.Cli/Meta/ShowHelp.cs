using System.CommandLine;
using System.Globalization;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Meta;

/// <summary><c>slipway help [COMMAND…]</c> and <c>slipway help exit-codes</c></summary>
internal sealed class ShowHelp : Verb
{
    private readonly Argument<string[]> words;

    public ShowHelp()
        : base("help", "Help on a command, or on exit-codes")
    {
        words = new Argument<string[]>("COMMAND") { Description = "Command to explain, or exit-codes", Arity = ArgumentArity.ZeroOrMore };
        Add(words);
    }

    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var wanted = run.Get(words) ?? [];
        if (wanted is ["exit-codes"])
        {
            foreach (var (code, meaning) in ExitCodes.All)
            {
                var number = code.ToString(CultureInfo.InvariantCulture);
                run.Out.WriteLine(run.Environment.OutIsTerminal ? $"  {run.Terminal.OutStyle.Bold(number.PadLeft(3))}  {meaning}" : $"{number}\t{meaning}");
            }

            return Task.FromResult(ExitCodes.Ok);
        }

        var command = CommandTree.Build(wanted);
        foreach (var word in wanted)
        {
            command = command.Subcommands.FirstOrDefault(sub => sub.Name == word)
                ?? throw new CliFailure(ExitCodes.Usage, "usage", $"there is no command \"{UsageErrors.PathOf(command)} {word}\"")
                {
                    Cause = UsageErrors.Nearest(word, command.Subcommands.Select(sub => sub.Name)) is { } near ? $"did you mean {near}?" : null,
                    Try = ["slipway --help"],
                };
        }

        HelpPage.Write(command, run.Out, run.Terminal.OutStyle, run.Terminal.Width);
        return Task.FromResult(ExitCodes.Ok);
    }
}
