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

    protected Option<TimeSpan?> Duration(string name, string description, TimeSpan least, TimeSpan most) =>
        Quantity<TimeSpan>(name, "TIME", description, Quantities.TryDuration, time => time >= least && time <= most, $"a time such as 500ms, 30s, 10m or 12h, from {Quantities.Text(least)} to {Quantities.Text(most)}");

    protected Option<long?> Size(string name, string description, long least) =>
        Quantity<long>(name, "SIZE", description, Quantities.TrySize, size => size >= least, $"a size such as 64KiB or 512MiB, from {least} bytes");

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

    private delegate bool Parse<T>(string text, out T value);

    private Option<T?> Quantity<T>(string name, string placeholder, string description, Parse<T> parse, Func<T, bool> allowed, string rule)
        where T : struct
    {
        var option = new Option<T?>(name) { Description = description, HelpName = placeholder };
        option.CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (parse(text, out var value) && allowed(value))
            {
                return value;
            }

            result.AddError($"{name} is {rule}, not \"{text}\"");
            return null;
        };
        Add(option);
        return option;
    }
}
