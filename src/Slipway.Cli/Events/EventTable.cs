using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Events;

/// <summary>How an event reads, in lists and in tails.</summary>
internal static class EventTable
{
    public static Table<Event> Of(DateTimeOffset now) => new Table<Event>()
        .Number("SEQ", entry => Figures.Count(entry.Seq), entry => entry.Seq.ToString(CultureInfo.InvariantCulture))
        .When("WHEN", entry => entry.At, now)
        .Add("ACTOR", entry => entry.Actor.Name)
        .Add("VIA", entry => entry.Actor.Via)
        .Add("ACTION", entry => entry.Action)
        .Add("TARGET", entry => $"{entry.Target.Type} {entry.Target.Name}".TrimEnd());

    /// <summary>One line, as it happens.</summary>
    public static string Line(Event entry, Style style) =>
        $"{style.Dim(Figures.Stamp(entry.At))}  {style.Dim("#" + entry.Seq.ToString(CultureInfo.InvariantCulture))}  {Printable.Text(entry.Actor.Name)}  "
        + $"{style.Cyan(Printable.Text(entry.Action))}  {Printable.Text(entry.Target.Type)} {style.Bold(Printable.Text(entry.Target.Name))}";

    public static string Plain(Event entry) => string.Join(
        '\t',
        entry.Seq.ToString(CultureInfo.InvariantCulture),
        Figures.Stamp(entry.At),
        Printable.Text(entry.Actor.Name),
        Printable.Text(entry.Actor.Via),
        Printable.Text(entry.Action),
        Printable.Text($"{entry.Target.Type} {entry.Target.Name}".TrimEnd()));
}
