using System.Globalization;
using System.Numerics;

namespace Slipway.Queue.Work;

/// <summary>One field of a cron expression: the values it allows, as bits.</summary>
internal readonly record struct CronField(ulong Bits, bool IsAny)
{
    private static readonly string[] Months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    private static readonly string[] Days = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

    public bool Has(int value) => (Bits & (1UL << value)) != 0;

    /// <summary>The first allowed value from <paramref name="value"/> on, or -1.</summary>
    public int NextFrom(int value)
    {
        ulong rest = value > 63 ? 0 : Bits & (ulong.MaxValue << value);
        return rest == 0 ? -1 : BitOperations.TrailingZeroCount(rest);
    }

    public static CronField Second(string text) => Parse(text, 0, 59, "second", []);

    public static CronField Minute(string text) => Parse(text, 0, 59, "minute", []);

    public static CronField Hour(string text) => Parse(text, 0, 23, "hour", []);

    public static CronField DayOfMonth(string text) => Parse(text, 1, 31, "day of month", []);

    public static CronField Month(string text) => Parse(text, 1, 12, "month", Months);

    /// <summary>0–7, where both 0 and 7 are Sunday.</summary>
    public static CronField DayOfWeek(string text)
    {
        CronField field = Parse(text, 0, 7, "day of week", Days);
        return field with { Bits = (field.Bits | (field.Bits >> 7)) & 0x7F };
    }

    private static CronField Parse(string text, int first, int last, string name, string[] names)
    {
        ulong bits = 0;
        foreach (string part in text.Split(','))
        {
            string[] stepped = part.Split('/');
            int step = 1;
            if (stepped.Length > 2 || (stepped.Length == 2 && (!Number(stepped[1], out step) || step < 1 || step > last)))
            {
                throw Wrong($"the step of \"{part}\" is not 1–{last}");
            }

            int from;
            int to;
            if (stepped[0] is "*" or "?")
            {
                (from, to) = (first, name == "day of week" ? 6 : last);
            }
            else
            {
                string[] range = stepped[0].Split('-');
                from = Value(range[0]);
                // "5/15" is from 5 on, as everywhere.
                to = range.Length == 2 ? Value(range[1]) : range.Length > 2 ? -1 : stepped.Length == 2 ? last : from;
                if (to < from)
                {
                    throw Wrong($"\"{part}\" is no range");
                }
            }

            for (int value = from; value <= to; value += step)
            {
                bits |= 1UL << value;
            }
        }

        return new CronField(bits, text is "*" or "?");

        int Value(string value) =>
            Array.FindIndex(names, known => known.Equals(value, StringComparison.OrdinalIgnoreCase)) is var index and >= 0
                ? index + first
                : Number(value, out int number) && number >= first && number <= last
                    ? number
                    : throw Wrong($"\"{value}\" is not {first}–{last}{(names.Length > 0 ? $" or {names[0]}–{names[^1]}" : "")}");

        FormatException Wrong(string what) => new($"In the {name} \"{text}\": {what}.");
    }

    private static bool Number(string text, out int number) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
