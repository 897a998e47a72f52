using System.Globalization;

namespace Slipway.Data;

/// <summary>Where Debian and Ubuntu put the engines' programs.</summary>
internal static class EnginePrograms
{
    private const string PostgresRoot = "/usr/lib/postgresql";

    /// <summary>libpq and the SQL we write ask for 13 or later; Ubuntu 22.04 has 14, Debian 12 has 15.</summary>
    private const int OldestPostgres = 13;

    /// <summary>The bin folder of the newest PostgreSQL, or of exactly <paramref name="version"/> when a data folder asks for it.</summary>
    public static string PostgresBin(string? version)
    {
        var installed = Directory.Exists(PostgresRoot)
            ? Directory.EnumerateDirectories(PostgresRoot)
                .Select(Path.GetFileName)
                .Where(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var major)
                    && major >= OldestPostgres && File.Exists($"{PostgresRoot}/{name}/bin/postgres"))
                .OrderByDescending(name => int.Parse(name!, CultureInfo.InvariantCulture))
                .ToList()
            : [];
        if (installed.Count == 0)
        {
            throw new EngineException($"PostgreSQL {OldestPostgres} or later is not installed (no {PostgresRoot}/*/bin/postgres). Run: apt-get install postgresql");
        }

        if (version is not null && !installed.Contains(version))
        {
            throw new EngineException(
                $"the data folder belongs to PostgreSQL {version}, and installed is {string.Join(", ", installed)}. Run: apt-get install postgresql-{version} (or move the data with pg_dump)");
        }

        return $"{PostgresRoot}/{version ?? installed[0]}/bin";
    }

    public static string RedisServer()
    {
        string[] places = ["/usr/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/valkey-server", "/usr/local/bin/valkey-server"];
        return Array.Find(places, File.Exists)
            ?? throw new EngineException("redis-server is not installed. Run: apt-get install redis-server");
    }
}
