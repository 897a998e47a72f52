using System.Globalization;

namespace Slipway.Cli.Shell;

/// <summary>Times, sizes and rates as people type them.</summary>
internal static class Quantities
{
    private static readonly (string Unit, double Seconds)[] TimeUnits =
        [("ms", 0.001), ("s", 1), ("min", 60), ("m", 60), ("h", 3600), ("d", 86_400)];

    private static readonly (string Unit, double Bytes)[] SizeUnits =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1L << 40), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1L << 40), ("B", 1)];

    private static readonly (string Unit, double Seconds)[] RateUnits = [("/s", 1), ("/min", 60), ("/m", 60), ("/h", 3600)];

    /// <summary>A number alone is not a time: seconds and milliseconds are mistaken for each other too easily. Only 0 needs no unit.</summary>
    public static bool TryDuration(string text, out TimeSpan time)
    {
        time = default;
        if (text == "0")
        {
            return true;
        }

        if (!TryWithUnit(text, TimeUnits, out var seconds, out _) || seconds > TimeSpan.MaxValue.TotalSeconds / 2)
        {
            return false;
        }

        time = TimeSpan.FromSeconds(seconds);
        return true;
    }

    public static bool TrySize(string text, out long bytes)
    {
        bytes = 0;
        if (!TryWithUnit(text, SizeUnits, out var size, out _) && !TryNumber(text, out size))
        {
            return false;
        }

        bytes = size < long.MaxValue / 2 ? (long)size : -1;
        return bytes >= 0;
    }

    public static bool TryCount(string text, out long count) =>
        long.TryParse(text.Replace(",", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal), NumberStyles.None, CultureInfo.InvariantCulture, out count);

    public static bool TryRate(string text, out double perSecond)
    {
        foreach (var (unit, seconds) in RateUnits)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal) && TryNumber(text[..^unit.Length], out var number))
            {
                perSecond = number / seconds;
                return true;
            }
        }

        return TryNumber(text, out perSecond);
    }

    /// <summary>The shortest way to type it: <c>10m</c>, not <c>600s</c>.</summary>
    public static string Text(TimeSpan time)
    {
        foreach (var (unit, seconds) in (ReadOnlySpan<(string, double)>)[("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)])
        {
            if (time.TotalSeconds >= seconds && time.TotalSeconds % seconds == 0)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds / seconds:0}{unit}");
            }
        }

        return time == TimeSpan.Zero ? "0" : string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.###}ms");
    }

    private static bool TryWithUnit(string text, (string Unit, double Factor)[] units, out double value, out string unit)
    {
        foreach (var (name, factor) in units)
        {
            if (text.EndsWith(name, StringComparison.Ordinal) && TryNumber(text[..^name.Length], out var number))
            {
                (value, unit) = (number * factor, name);
                return true;
            }
        }

        (value, unit) = (0, "");
        return false;
    }

    private static bool TryNumber(string text, out double number) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number) && double.IsFinite(number);
}
