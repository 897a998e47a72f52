using System.Globalization;
using System.Net;
using Npgsql;
using Slipway.Resp;

namespace Slipway.Server.Configuration;

/// <summary>Text to values, each with a reason and a cure when it can't be.</summary>
internal static class ValueParsers
{
    private static readonly (string Suffix, long Factor)[] ByteUnits =
        [("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("B", 1)];

    private static readonly (string Suffix, long Seconds)[] TimeUnits = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

    public static Func<Setting, ParsedValue> Count(int minimum, int maximum) => setting =>
        int.TryParse(setting.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            ? value >= minimum && value <= maximum
                ? ParsedValue.Ok(value)
                : ParsedValue.Bad("is out of range", $"give a whole number from {minimum} to {maximum}")
            : ParsedValue.Bad("is not a whole number", $"give a whole number from {minimum} to {maximum}");

    public static Func<Setting, ParsedValue> Bytes(long minimum, long maximum) => setting =>
    {
        var cure = $"give a size from {ShowBytes(minimum)} to {ShowBytes(maximum)}, such as {ShowBytes(minimum)}";
        var text = setting.Text.Replace("_", "", StringComparison.Ordinal);
        var factor = 1L;
        foreach (var unit in ByteUnits)
        {
            if (text.EndsWith(unit.Suffix, StringComparison.OrdinalIgnoreCase))
            {
                text = text[..^unit.Suffix.Length].TrimEnd();
                factor = unit.Factor;
                break;
            }
        }

        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return ParsedValue.Bad("is not a size in bytes", cure);
        }

        // Divide, never multiply: a number with too many digits must not wrap around into the range.
        return number > maximum / factor || number * factor < minimum
            ? ParsedValue.Bad("is out of range", cure)
            : ParsedValue.Ok(number * factor);
    };

    public static Func<Setting, ParsedValue> Duration(TimeSpan minimum, TimeSpan maximum) => setting =>
    {
        var cure = $"give a time from {ShowDuration(minimum)} to {ShowDuration(maximum)}, with its unit: s, m, h or d";
        foreach (var unit in TimeUnits)
        {
            if (setting.Text.EndsWith(unit.Suffix, StringComparison.Ordinal)
                && long.TryParse(setting.Text[..^1].TrimEnd(), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            {
                return number > (long)maximum.TotalSeconds / unit.Seconds || number * unit.Seconds < (long)minimum.TotalSeconds
                    ? ParsedValue.Bad("is out of range", cure)
                    : ParsedValue.Ok(TimeSpan.FromSeconds(number * unit.Seconds));
            }
        }

        return ParsedValue.Bad("is not a time with a unit", cure);
    };

    /// <summary>Whole seconds without a unit: for keys that have the unit in their name.</summary>
    public static Func<Setting, ParsedValue> Seconds(int minimum, int maximum) => setting =>
        Count(minimum, maximum)(setting) is { Value: int seconds } ? ParsedValue.Ok(TimeSpan.FromSeconds(seconds)) : Count(minimum, maximum)(setting);

    public static Func<Setting, ParsedValue> Choice<T>(params (string Name, T Value)[] choices)
        where T : struct => setting =>
    {
        foreach (var choice in choices)
        {
            if (choice.Name.Equals(setting.Text, StringComparison.OrdinalIgnoreCase))
            {
                return ParsedValue.Ok(choice.Value);
            }
        }

        var names = string.Join(", ", choices.Select(choice => choice.Name));
        return ParsedValue.Bad("is none of the choices", $"give one of {names}");
    };

    public static ParsedValue Listen(Setting setting)
    {
        const string Cure = "give ADDRESS:PORT, such as 127.0.0.1:7474, [::1]:7474, localhost:7474 or 0.0.0.0:7474";
        var colon = setting.Text.LastIndexOf(':');
        if (colon <= 0)
        {
            return ParsedValue.Bad("is not an address and a port", Cure);
        }

        if (!int.TryParse(setting.Text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > 65_535)
        {
            return ParsedValue.Bad("has no port from 0 to 65535", Cure);
        }

        var host = setting.Text[..colon];
        if (host == "localhost")
        {
            return port == 0
                ? ParsedValue.Bad("can't pick a free port on two addresses", "give 127.0.0.1:0")
                : ParsedValue.Ok(new ListenAddress(null, port));
        }

        var bracketed = host.StartsWith('[') && host.EndsWith(']');
        return (bracketed || !host.Contains(':', StringComparison.Ordinal)) && IPAddress.TryParse(bracketed ? host[1..^1] : host, out var address)
            ? ParsedValue.Ok(new ListenAddress(address, port))
            : ParsedValue.Bad("has no IP address before the port", Cure);
    }

    public static ParsedValue HttpUrl(Setting setting)
    {
        const string Cure = "give an absolute URL such as https://slipway.example.org";
        return !Uri.TryCreate(setting.Text, UriKind.Absolute, out var url) || (url.Scheme != Uri.UriSchemeHttp && url.Scheme != Uri.UriSchemeHttps)
            ? ParsedValue.Bad("is not an http or https URL", Cure)
            : url.Query.Length > 0 || url.Fragment.Length > 0
                ? ParsedValue.Bad("has a query or a fragment", Cure)
                : url.UserInfo.Length > 0
                    ? ParsedValue.Bad("has a user or password in it", Cure)
                    : ParsedValue.Ok(url);
    }

    public static ParsedValue Folder(Setting setting)
    {
        var path = setting.Text;
        if (path.StartsWith("~/", StringComparison.Ordinal) && Environment.GetEnvironmentVariable("HOME") is { Length: > 0 } home)
        {
            path = Path.Combine(home, path[2..]);
        }

        if (path.Length == 0 || path.Contains('\0', StringComparison.Ordinal))
        {
            return ParsedValue.Bad("is not a folder", "give the path of a folder");
        }

        // A flag was typed in some folder; a file or an environment may be read from any.
        return Path.IsPathFullyQualified(path) || setting.Origin.Kind == OriginKind.Flag
            ? ParsedValue.Ok(Path.GetFullPath(path))
            : ParsedValue.Bad("is a relative path", "give a path that starts with / or ~/");
    }

    public static ParsedValue DatabaseUrl(Setting setting)
    {
        const string Cure = "give postgres://USER:PASSWORD@HOST:PORT/DATABASE or an Npgsql connection string (Host=…;Database=…)";
        if (Uri.TryCreate(setting.Text, UriKind.Absolute, out var url) && url.Scheme is "postgres" or "postgresql")
        {
            return url.Host.Length == 0 || url.AbsolutePath.Length < 2
                ? ParsedValue.Bad("names no host or no database", Cure)
                : ParsedValue.Ok(setting.Text);
        }

        try
        {
            return new NpgsqlConnectionStringBuilder(setting.Text).Host is { Length: > 0 }
                ? ParsedValue.Ok(setting.Text)
                : ParsedValue.Bad("names no host", Cure);
        }
        catch (Exception fault) when (fault is ArgumentException or FormatException or KeyNotFoundException)
        {
            // The message of the exception may quote the password.
            return ParsedValue.Bad("is not a PostgreSQL address", Cure);
        }
    }

    public static ParsedValue RedisUrl(Setting setting) =>
        RespUrl.TryParse(setting.Text, out _, out var fault) ? ParsedValue.Ok(setting.Text) : ParsedValue.Bad("is not a Redis address", fault);

    /// <summary><c>name=value,name=value</c>, as OpenTelemetry's own <c>OTEL_EXPORTER_OTLP_HEADERS</c>.</summary>
    public static ParsedValue Headers(Setting setting) =>
        setting.Text.Split(',').All(pair => pair.IndexOf('=', StringComparison.Ordinal) > 0) && !setting.Text.AsSpan().ContainsAny('\r', '\n')
            ? ParsedValue.Ok(setting.Text)
            : ParsedValue.Bad("is not a list of headers", "give name=value, several with commas between");

    public static ParsedValue CacheHost(string host, Setting setting)
    {
        if (Uri.CheckHostName(host) == UriHostNameType.Unknown)
        {
            return ParsedValue.Bad("is not under a host name", "write the host name without scheme and port: cache.example.org: acme/main");
        }

        var slash = setting.Text.IndexOf('/', StringComparison.Ordinal);
        return slash > 0 && slash < setting.Text.Length - 1 && setting.Text.IndexOf('/', slash + 1) < 0
            ? ParsedValue.Ok(setting.Text)
            : ParsedValue.Bad("is not an org and a cache", "give ORG/CACHE, such as acme/main");
    }

    /// <summary><c>org/queue</c>, several with commas between.</summary>
    public static Func<Setting, ParsedValue> QueueNames(int most) => setting =>
    {
        var names = setting.Text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return names.Length > most
            ? ParsedValue.Bad($"names {names.Length} queues", $"name at most {most}")
            : Array.Find(names, name => name.Split('/') is not [{ Length: > 0 }, { Length: > 0 }]) is { } wrong
                ? ParsedValue.Bad($"has '{wrong}', which is not an org and a queue", "give ORG/QUEUE, several with commas: acme/mail,acme/sms")
                : ParsedValue.Ok((IReadOnlyList<string>)names);
    };

    public static string ShowBytes(long bytes)
    {
        foreach (var unit in ByteUnits.Where(unit => unit.Factor > 1).Reverse())
        {
            if (bytes >= unit.Factor && bytes % unit.Factor == 0)
            {
                return $"{bytes / unit.Factor} {unit.Suffix}";
            }
        }

        return $"{bytes} B";
    }

    public static string ShowDuration(TimeSpan duration)
    {
        var seconds = (long)duration.TotalSeconds;
        foreach (var unit in TimeUnits.Reverse())
        {
            if (seconds >= unit.Seconds && seconds % unit.Seconds == 0)
            {
                return $"{seconds / unit.Seconds}{unit.Suffix}";
            }
        }

        return $"{seconds}s";
    }
}
