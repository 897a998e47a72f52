using Slipway.Cli.Shell;

namespace Slipway.Cli.Terminals;

/// <summary>Where words go: data to stdout, everything said about it to stderr.</summary>
internal sealed class Terminal(CliEnvironment environment, bool quiet)
{
    /// <summary>Wider lines are hard to read, and help is prose.</summary>
    private const int WidestText = 100;

    public CliEnvironment Environment { get; } = environment;

    public bool Quiet { get; } = quiet;

    public Style OutStyle { get; } = Style.For(environment.OutIsTerminal, environment.Variable);

    public Style ErrorStyle { get; } = Style.For(environment.ErrorIsTerminal, environment.Variable);

    public int Width => Math.Clamp(Environment.Width(), 40, WidestText);

    public void Done(string text) => Say($"{ErrorStyle.Green("✓")} {text}");

    public void Warn(string text) => Say($"{ErrorStyle.Yellow("!")} {text}");

    /// <summary>
    /// Next steps to copy, the reasons in a column of their own:
    /// <code>
    ///   next  slipway push acme/main ./result   pushes a build and all it needs
    ///         slipway cache use acme/main       what nix needs to fetch from it
    /// </code>
    /// </summary>
    public void Next(IReadOnlyList<(string Command, string Why)> steps)
    {
        const int Widest = 60;
        var shown = steps.Select(step => (Command: AsTyped(step.Command), step.Why)).ToList();
        var column = shown.Select(step => step.Command.Length).Where(length => length <= Widest).DefaultIfEmpty(0).Max();
        foreach (var (at, (command, why)) in shown.Index())
        {
            Say($"  {ErrorStyle.Dim(at == 0 ? "next" : "    ")}  {ErrorStyle.Cyan(command)}{new string(' ', Math.Max(0, column - command.Length))}   {ErrorStyle.Dim(why)}".TrimEnd());
        }
    }

    /// <summary>A command line as this user types it: from a checkout the program is <c>./slipway</c> and not in PATH.</summary>
    public string AsTyped(string command) =>
        Environment.Variable("SLIPWAY_SELF") is { } self && command.StartsWith("slipway ", StringComparison.Ordinal) ? self + command["slipway".Length..] : command;

    public void Say(string text)
    {
        if (!Quiet)
        {
            Environment.Out.Flush();
            Environment.Error.WriteLine(text);
        }
    }
}
