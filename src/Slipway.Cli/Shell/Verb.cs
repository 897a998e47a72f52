using System.CommandLine;

namespace Slipway.Cli.Shell;

/// <summary>One thing the program can do. Each is a class of its own, in the folder of its noun.</summary>
internal abstract class Verb(string name, string summary) : Command(name, summary)
{
    /// <summary>Command lines for the help page, without <c>slipway</c>.</summary>
    public virtual IReadOnlyList<string> Examples => [];

    /// <summary>More words for the help page.</summary>
    public virtual string? Remarks => null;

    /// <returns>The exit code.</returns>
    public abstract Task<int> RunAsync(Invocation run, CancellationToken cancellationToken);

    protected Argument<string> Positional(string name, string description)
    {
        var argument = new Argument<string>(name) { Description = description };
        Add(argument);
        return argument;
    }

    protected Argument<string[]> Positionals(string name, string description)
    {
        var argument = new Argument<string[]>(name) { Description = description, Arity = ArgumentArity.OneOrMore };
        Add(argument);
        return argument;
    }

    protected Option<bool> Flag(string name, string description) => Flag(name, description, []);

    protected Option<bool> Flag(string name, string description, string[] aliases)
    {
        var option = new Option<bool>(name, aliases) { Description = description, Arity = ArgumentArity.Zero };
        Add(option);
        return option;
    }

    protected Option<string?> Text(string name, string placeholder, string description, bool required = false)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = placeholder, Required = required };
        Add(option);
        return option;
    }

    /// <summary>One of a few words; anything else is a usage error that lists them.</summary>
    protected Option<string?> Choice(string name, string description, string[] choices, bool required = false)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = string.Join('|', choices), Required = required };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !choices.Contains(token.Value, StringComparer.Ordinal))
            {
                result.AddError($"{name} is one of {string.Join(", ", choices)}, not \"{token.Value}\"");
            }
        });
        Add(option);
        return option;
    }

    protected Option<int?> Number(string name, string placeholder, string description, int least, int most)
    {
        var option = new Option<int?>(name) { Description = $"{description} ({least} to {most})", HelpName = placeholder };
        option.CustomParser = result =>
        {
            if (int.TryParse(result.Tokens[0].Value, System.Globalization.NumberStyles.AllowLeadingSign, System.Globalization.CultureInfo.InvariantCulture, out var value)
                && value >= least && value <= most)
            {
                return value;
            }

            result.AddError($"{name} is a number from {least} to {most}, not \"{result.Tokens[0].Value}\"");
            return null;
        };
        Add(option);
        return option;
    }

    protected Option<TimeSpan?> Duration(string name, string description, TimeSpan least, TimeSpan most) =>
        Quantity<TimeSpan>(name, "TIME", description, Quantities.TryDuration, time => time >= least && time <= most, $"a time such as 500ms, 30s, 10m or 12h, from {Quantities.Text(least)} to {Quantities.Text(most)}");

    protected Option<long?> Size(string name, string description, long least) =>
        Quantity<long>(name, "SIZE", description, Quantities.TrySize, size => size >= least, $"a size such as 64KiB or 512MiB, from {least} bytes");

    protected delegate bool Parse<T>(string text, out T value);

    protected Option<T?> Quantity<T>(string name, string placeholder, string description, Parse<T> parse, Func<T, bool> allowed, string rule)
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

    /// <summary><c>--org</c>: for everything inside an org.</summary>
    protected Option<string?> OrgOption() =>
        Text("--org", "ORG", "Org; the context's default org unless given [env: SLIPWAY_ORG]");
}

/// <summary>A noun: nothing but a group of verbs.</summary>
internal sealed class Noun : Command
{
    public Noun(string name, string summary, params ReadOnlySpan<Command> verbs)
        : base(name, summary)
    {
        foreach (var verb in verbs)
        {
            Add(verb);
        }
    }
}
