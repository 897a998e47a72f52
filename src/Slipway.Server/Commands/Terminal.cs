namespace Slipway.Server.Commands;

/// <summary>A stream to a person or a program. Colours only for a person who has not asked for none (https://no-color.org).</summary>
internal sealed class Terminal(TextWriter writer, bool colours)
{
    public static Terminal Out { get; } = new(Console.Out, Colours(Console.IsOutputRedirected));

    public static Terminal Error { get; } = new(Console.Error, Colours(Console.IsErrorRedirected));

    public bool HasColours => colours;

    public void Line(string text = "") => writer.WriteLine(text);

    public string Bold(string text) => Wrap(text, "1");

    public string Dim(string text) => Wrap(text, "2");

    public string Red(string text) => Wrap(text, "31");

    public string Green(string text) => Wrap(text, "32");

    public string Cyan(string text) => Wrap(text, "36");

    private string Wrap(string text, string code) => colours ? $"\x1b[{code}m{text}\x1b[0m" : text;

    private static bool Colours(bool isRedirected) =>
        !isRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) && Environment.GetEnvironmentVariable("TERM") is { Length: > 0 } and not "dumb";
}
