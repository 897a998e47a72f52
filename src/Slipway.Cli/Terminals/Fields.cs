namespace Slipway.Cli.Terminals;

/// <summary>One thing in full: a name and a value a line; <c>name TAB value</c> when piped. Several values take several lines.</summary>
internal sealed class Fields
{
    private readonly List<(string Name, string Shown, string Plain)> lines = [];

    public Fields Add(string name, string? value) => Add(name, value, value);

    public Fields Add(string name, string? shown, string? plain)
    {
        if (shown is not null)
        {
            lines.Add((name, Printable.Text(shown), Printable.Text(plain ?? "")));
        }

        return this;
    }

    public Fields Add(string name, IReadOnlyList<string> values)
    {
        foreach (var value in values)
        {
            Add(name, value);
        }

        return this;
    }

    public Fields When(string name, DateTimeOffset? at, DateTimeOffset now) =>
        at is { } time ? Add(name, $"{Figures.Since(time, now)} ({Figures.Stamp(time)})", Figures.Stamp(time)) : this;

    public void Write(Terminal terminal)
    {
        var output = terminal.Environment.Out;
        if (!terminal.Environment.OutIsTerminal)
        {
            foreach (var (name, _, plain) in lines)
            {
                output.WriteLine($"{name}\t{plain}");
            }

            return;
        }

        var width = lines.Max(line => line.Name.Length);
        var previous = "";
        foreach (var (name, shown, _) in lines)
        {
            output.WriteLine($"  {terminal.OutStyle.Dim((name == previous ? "" : name).PadRight(width))}  {shown}");
            previous = name;
        }
    }
}
