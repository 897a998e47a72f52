using System.Globalization;

namespace Slipway.Cli.Terminals;

/// <summary>Numbers as people say them.</summary>
internal static class Figures
{
    private static readonly string[] ByteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    public static string Bytes(double bytes)
    {
        var unit = 0;
        while (bytes >= 1023.5 && unit < ByteUnits.Length - 1)
        {
            bytes /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{(unit == 0 || bytes >= 99.95 ? Math.Round(bytes) : Math.Round(bytes, 1)):0.#} {ByteUnits[unit]}");
    }

    public static string Count(long count) => count.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>One thing, or several: <c>1 path</c>, <c>2,001 paths</c>.</summary>
    public static string Count(long count, string one) => count == 1 ? $"1 {one}" : $"{Count(count)} {one}s";

    public static string Duration(TimeSpan time, bool wholeSeconds = false) => time switch
    {
        { TotalSeconds: < 99.5 } when wholeSeconds => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0} s"),
        { TotalSeconds: < 0.95 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0} ms"),
        { TotalSeconds: < 9.95 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s"),
        { TotalSeconds: < 99.5 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0} s"),
        { TotalMinutes: < 60 } => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalMinutes} min {time.Seconds:00} s"),
        { TotalHours: < 48 } => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalHours} h {time.Minutes:00} min"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalDays} days"),
    };

    /// <summary><c>3 min ago</c>, <c>in 89 days</c>: rough, for tables.</summary>
    public static string Since(DateTimeOffset at, DateTimeOffset now)
    {
        var span = now - at;
        var ahead = span < TimeSpan.Zero;
        span = span.Duration();
        var words = span switch
        {
            { TotalSeconds: < 5 } => null,
            { TotalSeconds: < 60 } => Count((long)span.TotalSeconds) + " s",
            { TotalMinutes: < 60 } => Count((long)span.TotalMinutes) + " min",
            { TotalHours: < 48 } => Count((long)span.TotalHours) + " h",
            _ => Count((long)Math.Round(span.TotalDays), "day"),
        };
        return words is null ? "now" : ahead ? $"in {words}" : $"{words} ago";
    }

    /// <summary>For programs: RFC 3339 in UTC.</summary>
    public static string Stamp(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
