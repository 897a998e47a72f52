using System.Globalization;

namespace Slipway.Queue;

/// <summary>A span of time, as a <see cref="TimeSpan"/> or as text: <c>"250ms"</c>, <c>"30s"</c>, <c>"10m"</c>, <c>"1h30m"</c>, <c>"7d"</c>.</summary>
public readonly record struct Duration(TimeSpan Value)
{
    private static readonly (string Unit, double Milliseconds)[] Units =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

    public static implicit operator Duration(TimeSpan value) => new(value);

    /// <exception cref="FormatException">Not a duration.</exception>
    public static implicit operator Duration(string text) => Parse(text);

    public static implicit operator TimeSpan(Duration duration) => duration.Value;

    /// <exception cref="FormatException">Not a duration.</exception>
    public static Duration Parse(string text)
    {
        double milliseconds = 0;
        ReadOnlySpan<char> rest = text.AsSpan().Trim();
        bool valid = !rest.IsEmpty;
        while (valid && !rest.IsEmpty)
        {
            int digits = rest.IndexOfAnyExcept("0123456789.");
            int unit = digits <= 0 ? 0 : rest[digits..].IndexOfAnyInRange('0', '9') is var next and >= 0 ? next : rest.Length - digits;
            double scale = unit == 0 ? 0 : ScaleOf(rest.Slice(digits, unit));
            valid = scale > 0 && double.TryParse(rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double amount)
                && (milliseconds += amount * scale) < TimeSpan.MaxValue.TotalMilliseconds;
            rest = valid ? rest[(digits + unit)..] : rest;
        }

        return valid ? new Duration(TimeSpan.FromMilliseconds(milliseconds)) : throw new FormatException(
            $"\"{text}\" is not a duration. Write a number and a unit (ms, s, m, h, d), like \"30s\" or \"1h30m\".");
    }

    public override string ToString() => Value.ToString("c", CultureInfo.InvariantCulture);

    private static double ScaleOf(ReadOnlySpan<char> unit)
    {
        foreach ((string name, double scale) in Units)
        {
            if (unit.SequenceEqual(name))
            {
                return scale;
            }
        }

        return 0;
    }
}
