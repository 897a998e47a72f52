using System.Globalization;
using Npgsql;

namespace Slipway.Data;

/// <summary>
/// <c>postgres://user:password@host:port/database?sslmode=require&amp;host=/socket/folder</c>, the form of libpq (PostgreSQL manual 34.1.1.2).
/// A query key is any Npgsql keyword; <c>host=</c> there is how libpq names a unix socket's folder.
/// </summary>
internal static class DatabaseUrl
{
    public static NpgsqlConnectionStringBuilder Parse(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri))
        {
            throw new FormatException("the URL cannot be read; percent-encode special characters in user and password");
        }

        var settings = new NpgsqlConnectionStringBuilder { Host = uri.Host };
        if (uri.Port > 0)
        {
            settings.Port = uri.Port;
        }

        var colon = uri.UserInfo.IndexOf(':', StringComparison.Ordinal);
        var user = colon < 0 ? uri.UserInfo : uri.UserInfo[..colon];
        if (user.Length > 0)
        {
            settings.Username = Uri.UnescapeDataString(user);
        }

        if (colon >= 0)
        {
            settings.Password = Uri.UnescapeDataString(uri.UserInfo[(colon + 1)..]);
        }

        var database = Uri.UnescapeDataString(uri.AbsolutePath.TrimStart('/'));
        if (database.Length > 0)
        {
            settings.Database = database;
        }

        foreach (var pair in uri.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"the query part '{pair}' is not key=value"));
            }

            Set(settings, Uri.UnescapeDataString(pair[..equals]), Uri.UnescapeDataString(pair[(equals + 1)..]));
        }

        return settings;
    }

    private static void Set(NpgsqlConnectionStringBuilder settings, string key, string value)
    {
        // libpq's spelling of the ones people paste; the rest are Npgsql's own keywords.
        var keyword = key.ToLowerInvariant() switch
        {
            "sslmode" => "SSL Mode",
            "sslrootcert" => "Root Certificate",
            "application_name" => "Application Name",
            "connect_timeout" => "Timeout",
            _ => key,
        };
        settings[keyword] = keyword == "SSL Mode" ? value.Replace("-", "", StringComparison.Ordinal) : value;
    }
}
