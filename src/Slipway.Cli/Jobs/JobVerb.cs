using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs;

/// <summary>A verb of <c>slipway jobs</c>: its kinds of arguments and options.</summary>
internal abstract class JobVerb(string name, string summary) : Verb(name, summary)
{
    protected Argument<string> QueueArgument() => Positional("QUEUE", "org/name, or name in the default org");

    protected Argument<string?> OptionalQueue(string description)
    {
        var argument = new Argument<string?>("QUEUE") { Description = description, Arity = ArgumentArity.ZeroOrOne };
        Add(argument);
        return argument;
    }

    protected Option<long?> Amount(string name, string description, long least, long most) =>
        Quantity<long>(name, "N", description, Quantities.TryCount, count => count >= least && count <= most, $"a whole number from {least} to {most}");

    /// <summary>Per second: <c>100</c>, <c>100/s</c>, <c>6000/m</c>.</summary>
    protected Option<double?> PerSecond(string name, string description) =>
        Quantity<double>(name, "RATE", description, Quantities.TryRate, rate => rate > 0, "a rate such as 100/s, 500/m or 0.5/s");

    /// <summary>May be given several times.</summary>
    protected Option<string[]> Texts(string name, string placeholder, string description)
    {
        var option = new Option<string[]>(name) { Description = description, HelpName = placeholder };
        Add(option);
        return option;
    }

    protected Option<string?> TypeFilter(string description) => Text("--type", "TYPE", description);

    protected Option<bool> YesFlag() => Flag("--yes", "Don't ask");
}
