using System.Data;
using System.Globalization;
using Dapper;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Slipway.Data;

/// <summary>
/// Brings the schema up to this program: each module's numbered files in order, each in its own transaction together with its row in
/// <c>schema_migration</c>, so a crash leaves a file either applied and recorded or neither.
/// </summary>
public static partial class Migrator
{
    /// <summary>Any fixed number, the same in every server; "slipway" in ASCII.</summary>
    private const long LockKey = 0x73_6C_69_70_77_61_79;

    private const string CreateTable = """
        create table if not exists schema_migration (
            module     text        not null,
            number     int         not null,
            name       text        not null,
            sha256     bytea       not null,
            applied_at timestamptz not null default now(),
            primary key (module, number)
        )
        """;

    /// <summary>Applies what is missing. Servers that start together wait for each other; the later ones find nothing left to do.</summary>
    /// <exception cref="MigrationException">A file was changed after it was applied, the database is newer than this program, or a file failed.</exception>
    public static async Task ApplyAsync(Database database, IReadOnlyList<MigrationModule> modules, ILogger logger, CancellationToken cancellationToken)
    {
        var wanted = modules.Select(module => (module.Module, Files: MigrationFile.ReadAll(module))).ToList();
        if (wanted.GroupBy(module => module.Module).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new MigrationException($"module '{twice.Key}' is listed twice");
        }

        await using var connection = await database.OpenAsync(cancellationToken);

        // Without the lock first: a restart with nothing to do is the common case and must not queue behind a sibling's long migration.
        var applied = await ReadAppliedAsync(connection, cancellationToken);
        if (applied is not null && Pending(wanted, applied, logger).Count == 0)
        {
            return;
        }

        // A session lock ends with the connection, so a server killed here blocks nobody. Waiting may take as long as a sibling's
        // migration does: no command timeout, the caller's token is the limit.
        await ExecuteAsync(connection, $"select pg_advisory_lock({LockKey.ToString(CultureInfo.InvariantCulture)})", cancellationToken);
        try
        {
            await ExecuteAsync(connection, CreateTable, cancellationToken);
            applied = await ReadAppliedAsync(connection, cancellationToken) ?? [];
            foreach (var (module, file) in Pending(wanted, applied, logger))
            {
                await ApplyFileAsync(connection, module, file, cancellationToken);
                Log.Applied(logger, module, file.ToString());
            }
        }
        finally
        {
            // A broken connection has lost the lock with the session; unlocking it would only hide the real error.
            if (connection.State == ConnectionState.Open)
            {
                await ExecuteAsync(connection, $"select pg_advisory_unlock({LockKey.ToString(CultureInfo.InvariantCulture)})", CancellationToken.None);
            }
        }
    }

    private static async Task<List<AppliedMigration>?> ReadAppliedAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        try
        {
            var rows = await connection.QueryAsync<AppliedMigration>(new CommandDefinition(
                "select module, number, name, sha256 from schema_migration order by module, number", cancellationToken: cancellationToken));
            return rows.AsList();
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UndefinedTable)
        {
            return null;
        }
    }

    private static List<(string Module, MigrationFile File)> Pending(
        List<(string Module, IReadOnlyList<MigrationFile> Files)> wanted, List<AppliedMigration> applied, ILogger logger)
    {
        var pending = new List<(string, MigrationFile)>();
        var rowsOf = applied.ToLookup(row => row.Module);
        foreach (var (module, files) in wanted)
        {
            var rows = rowsOf[module].ToDictionary(row => row.Number);
            foreach (var row in rows.Values.Where(row => row.Number > files.Count))
            {
                throw new MigrationException(string.Create(CultureInfo.InvariantCulture,
                    $"the database is newer than this program: it has migration {row.Number:D4}_{row.Name}.sql of module '{module}', this program knows {files.Count}. Start the newer version, or restore the backup taken before the upgrade."));
            }

            foreach (var file in files)
            {
                if (!rows.TryGetValue(file.Number, out var row))
                {
                    if (rows.Keys.Any(number => number > file.Number))
                    {
                        throw new MigrationException($"module '{module}': later migrations are applied but {file} is not recorded in schema_migration. Restore the row or the database from a backup.");
                    }

                    pending.Add((module, file));
                }
                else if (!row.Sha256.AsSpan().SequenceEqual(file.Sha256))
                {
                    throw new MigrationException($"module '{module}': {file} was changed after it was applied to this database. Put the file back as it was and write the change as a new migration.");
                }
            }
        }

        // A module of a newer or differently composed server touches only its own tables: worth a word, no reason to refuse.
        foreach (var module in rowsOf.Select(rows => rows.Key).Except(wanted.Select(module => module.Module)))
        {
            Log.UnknownModule(logger, module);
        }

        return pending;
    }

    private static async Task ApplyFileAsync(NpgsqlConnection connection, string module, MigrationFile file, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        try
        {
            await ExecuteAsync(connection, file.Sql, cancellationToken);
        }
        catch (PostgresException e)
        {
            // No line number: Npgsql splits the file, and a position counts from the start of one statement.
            throw new MigrationException($"module '{module}': {file} failed and was rolled back: {e.MessageText} ({e.SqlState})", e);
        }

        await connection.ExecuteAsync(new CommandDefinition(
            "insert into schema_migration (module, number, name, sha256) values (@module, @Number, @Name, @Sha256)",
            new { module, file.Number, file.Name, file.Sha256 }, transaction, cancellationToken: cancellationToken));
        await transaction.CommitAsync(cancellationToken);
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.CommandTimeout = 0;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private sealed record AppliedMigration(string Module, int Number, string Name, byte[] Sha256);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "applied migration {File} of module {Module}")]
        public static partial void Applied(ILogger logger, string module, string file);

        [LoggerMessage(2, LogLevel.Warning, "the database has migrations of module {Module}, which this program does not know")]
        public static partial void UnknownModule(ILogger logger, string module);
    }
}
