namespace Slipway.Cli.Terminals;

/// <summary>Colours for one stream, or none. Only the 16 basic colours: they follow the user's theme.</summary>
internal readonly record struct Style(bool Enabled)
{
    public string Bold(string text) => Wrap("1", text);

    public string Dim(string text) => Wrap("2", text);

    public string Red(string text) => Wrap("31", text);

    public string Green(string text) => Wrap("32", text);

    public string Yellow(string text) => Wrap("33", text);

    public string Cyan(string text) => Wrap("36", text);

    private string Wrap(string code, string text) => Enabled && text.Length > 0 ? $"\e[{code}m{text}\e[0m" : text;

    /// <summary>
    /// NO_COLOR (no-color.org) says no, CLICOLOR_FORCE yes, TERM=dumb and CLICOLOR=0 no (bixense.com/clicolors); else what the stream is.
    /// </summary>
    public static Style For(bool isTerminal, Func<string, string?> variable) => new(
        variable("NO_COLOR") is null
        && ((variable("CLICOLOR_FORCE") is { } force && force != "0")
            || (isTerminal && variable("TERM") != "dumb" && variable("CLICOLOR") != "0")));
}
