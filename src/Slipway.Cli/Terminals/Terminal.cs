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

    /// <summary>A next step to copy.</summary>
    public void Next(string command, string why) => Say($"  {ErrorStyle.Cyan(command)}{(why.Length > 0 ? "   " + ErrorStyle.Dim(why) : "")}");

    public void Say(string text)
    {
        if (!Quiet)
        {
            Environment.Out.Flush();
            Environment.Error.WriteLine(text);
        }
    }
}
