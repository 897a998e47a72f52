namespace Slipway.Cli.Terminals;

/// <summary>
/// Rows of one kind of thing: aligned under headings on a terminal; tab-separated without headings when piped, so that
/// <c>cut -f1</c> and <c>while read</c> just work.
/// </summary>
internal sealed class Table<T>
{
    private const string Gap = "  ";

    private readonly List<Column> columns = [];

    private sealed record Column(string Heading, Func<T, Style, string> Shown, Func<T, string> Plain, bool Right);

    public Table<T> Add(string heading, Func<T, string> text) => Add(heading, text, text);

    /// <summary><paramref name="shown"/> is for people, <paramref name="plain"/> for programs.</summary>
    public Table<T> Add(string heading, Func<T, string> shown, Func<T, string> plain, bool right = false)
    {
        columns.Add(new Column(heading, (row, _) => shown(row), plain, right));
        return this;
    }

    public Table<T> Number(string heading, Func<T, string> shown, Func<T, string> plain) => Add(heading, shown, plain, right: true);

    public Table<T> When(string heading, Func<T, DateTimeOffset?> at, DateTimeOffset now) =>
        Add(heading, row => at(row) is { } time ? Figures.Since(time, now) : "–", row => at(row) is { } time ? Figures.Stamp(time) : "");

    public void Write(IEnumerable<T> rows, Terminal terminal)
    {
        var output = terminal.Environment.Out;
        if (!terminal.Environment.OutIsTerminal)
        {
            foreach (var row in rows)
            {
                output.WriteLine(string.Join('\t', columns.Select(column => Printable.Text(column.Plain(row)))));
            }

            return;
        }

        var cells = rows.Select(row => columns.Select(column => Printable.Text(column.Shown(row, terminal.OutStyle))).ToArray()).ToList();
        var widths = columns.Select((column, i) => cells.Select(line => line[i].Length).Append(column.Heading.Length).Max()).ToArray();
        Shrink(widths, terminal.Environment.Width());
        output.WriteLine(terminal.OutStyle.Dim(Line(columns.Select(column => column.Heading).ToArray(), widths)));
        foreach (var line in cells)
        {
            output.WriteLine(Line(line, widths));
        }
    }

    /// <summary>When the table is wider than the window the widest column gives way, down to 12 characters.</summary>
    private static void Shrink(int[] widths, int window)
    {
        while (widths.Sum() + (Gap.Length * (widths.Length - 1)) > window)
        {
            var widest = Array.IndexOf(widths, widths.Max());
            if (widths[widest] <= 12)
            {
                return;
            }

            widths[widest]--;
        }
    }

    private string Line(string[] cells, int[] widths)
    {
        var parts = cells.Select((cell, i) =>
        {
            var fitted = cell.Length <= widths[i] ? cell : string.Concat(cell.AsSpan(0, widths[i] - 1), "…");
            return columns[i].Right ? fitted.PadLeft(widths[i]) : fitted.PadRight(widths[i]);
        });
        return string.Join(Gap, parts).TrimEnd();
    }
}
