using System.Data;
using Dapper;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Slipway.Data;

/// <summary>
/// The PostgreSQL of this server: one pool, opened from a <c>postgres://…</c> URL or an Npgsql connection string.
/// SQL stays in the open: take a connection, use Dapper on it.
/// </summary>
public sealed class Database : IAsyncDisposable
{
    /// <summary>
    /// Half of PostgreSQL's default of 100, so that two servers fit one stock database during a rolling restart.
    /// <c>Maximum Pool Size</c> in the connection string overrides it.
    /// </summary>
    private const int DefaultMaxPoolSize = 50;

    /// <summary>
    /// Statements kept prepared per connection, from the second use on: more than one push uses. With <c>NoResetOnClose</c> this took
    /// PostgreSQL's CPU on a stock push of small paths from 2.8 ms a path to between 1.5 and 2.2.
    /// </summary>
    private const int DefaultMaxAutoPrepare = 100;

    static Database()
    {
        // Columns are snake_case and records PascalCase; timestamps are UTC instants on both sides.
        DefaultTypeMap.MatchNamesWithUnderscores = true;
        // Dapper asks a handler only for types it does not know itself.
        SqlMapper.RemoveTypeMap(typeof(DateTimeOffset));
        SqlMapper.RemoveTypeMap(typeof(DateTimeOffset?));
        SqlMapper.AddTypeHandler(new InstantHandler());
    }

    /// <exception cref="FormatException">The text is neither a URL nor a connection string; the message never repeats the password.</exception>
    public Database(string urlOrConnectionString, ILoggerFactory? loggerFactory = null)
    {
        if (!TryParse(urlOrConnectionString, out var settings, out var problem))
        {
            throw new FormatException(problem);
        }

        var builder = new NpgsqlDataSourceBuilder(settings.ConnectionString);
        if (loggerFactory is not null)
        {
            builder.UseLoggerFactory(loggerFactory);
        }

        Source = builder.Build();
    }

    public NpgsqlDataSource Source { get; }

    public ValueTask<NpgsqlConnection> OpenAsync(CancellationToken cancellationToken) => Source.OpenConnectionAsync(cancellationToken);

    public ValueTask DisposeAsync() => Source.DisposeAsync();

    /// <summary>Reads a URL or connection string; for validating configuration before anything is opened.</summary>
    public static bool TryParse(string text, out NpgsqlConnectionStringBuilder settings, out string problem)
    {
        settings = [];
        problem = "";
        try
        {
            var trimmed = text.Trim();
            var isUrl = trimmed.StartsWith("postgres://", StringComparison.OrdinalIgnoreCase)
                || trimmed.StartsWith("postgresql://", StringComparison.OrdinalIgnoreCase);
            settings = isUrl ? DatabaseUrl.Parse(trimmed) : new NpgsqlConnectionStringBuilder(trimmed);
        }
        // Npgsql reports a bad value of one keyword by several exception types; the inner text names the keyword, not the value.
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or InvalidCastException)
        {
            problem = $"not a PostgreSQL URL (postgres://user:password@host:5432/database) or Npgsql connection string: {e.Message}";
            return false;
        }

        if (string.IsNullOrEmpty(settings.Host))
        {
            problem = "the PostgreSQL URL or connection string names no host; write postgres://user:password@host:5432/database";
            return false;
        }

        settings.ApplicationName ??= "slipway";
        // Not ContainsKey, which is true of every keyword Npgsql knows.
        if (!settings.ShouldSerialize("Maximum Pool Size"))
        {
            settings.MaxPoolSize = DefaultMaxPoolSize;
        }

        if (!settings.ShouldSerialize("Max Auto Prepare"))
        {
            settings.MaxAutoPrepare = DefaultMaxAutoPrepare;
            settings.AutoPrepareMinUsages = 2;
        }

        // A reset is seven statements before the first one of each use of a connection. Nothing here leaves anything in a session:
        // locks end with their transaction, and the migrator's is given back where it is taken.
        settings.NoResetOnClose = true;

        return true;
    }

    /// <summary>
    /// Npgsql reads <c>timestamptz</c> as <see cref="DateTime"/>; our records hold <see cref="DateTimeOffset"/>, and PostgreSQL takes only UTC.
    /// </summary>
    private sealed class InstantHandler : SqlMapper.TypeHandler<DateTimeOffset>
    {
        public override DateTimeOffset Parse(object value) => value switch
        {
            DateTimeOffset instant => instant,
            DateTime time => new DateTimeOffset(DateTime.SpecifyKind(time, DateTimeKind.Utc)),
            _ => throw new DataException($"cannot read {value.GetType().Name} as an instant; make the column timestamptz"),
        };

        public override void SetValue(IDbDataParameter parameter, DateTimeOffset value) => parameter.Value = value.UtcDateTime;
    }
}
