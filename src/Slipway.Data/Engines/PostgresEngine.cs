using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Npgsql;
using Slipway.Native;

namespace Slipway.Data;

internal sealed class PostgresEngine(EngineFolders folders) : Engine("postgres", folders)
{
    /// <summary>Both the role and the database.</summary>
    private const string Login = "slipway";

    private string DataFolder => Path.Combine(Folders.Postgres, "data");

    private string PidFile => Path.Combine(DataFolder, "postmaster.pid");

    private string SocketPath => Path.Combine(Folders.Sockets, ".s.PGSQL.5432");

    public string ConnectionString => Connection(Login);

    /// <summary>Immediate shutdown: as after a power cut it recovers from its log, which holds every commit.</summary>
    public override Signal LastResort => Signal.Quit;

    public override async Task PrepareAsync(CancellationToken cancellationToken)
    {
        if (!File.Exists(Path.Combine(DataFolder, "PG_VERSION")))
        {
            await CreateDataFolderAsync(cancellationToken);
        }

        await File.WriteAllTextAsync(Path.Combine(Folders.Engines, "postgresql.conf"), Settings(), cancellationToken);
        // Trust: see EngineFolders on who can reach the socket.
        await File.WriteAllTextAsync(Path.Combine(Folders.Engines, "pg_hba.conf"), "local all all trust\n", cancellationToken);
    }

    public override IReadOnlyList<string> Command()
    {
        var version = File.ReadAllText(Path.Combine(DataFolder, "PG_VERSION")).Trim();
        return
        [
            Path.Combine(EnginePrograms.PostgresBin(version), "postgres"),
            "-D", DataFolder, "-c", "config_file=" + Path.Combine(Folders.Engines, "postgresql.conf"),
        ];
    }

    public override async Task<bool> AnswersAsync(CancellationToken cancellationToken)
    {
        // Line 8 is the server's own word (as pg_ctl reads it); asking by connection before it says so fills the log with refusals.
        var lines = PidLines();
        if (lines.Length < 8 || lines[7].Trim() != "ready")
        {
            return false;
        }

        var (ready, error) = ReadStartup(await AskAsync(SocketPath, StartupMessage(), answer => ReadStartup(answer) != (false, ""), cancellationToken));
        if (error == PostgresErrorCodes.InvalidCatalogName)
        {
            await CreateDatabaseAsync(cancellationToken);
            return true;
        }

        return ready;
    }

    public override Task AskToStopAsync(int processId, CancellationToken cancellationToken)
    {
        // Fast shutdown: end the sessions, checkpoint, leave.
        ProcessTable.Signal(processId, Signal.Interrupt);
        return Task.CompletedTask;
    }

    protected override int? WrittenProcessId() => PidLines() is [var first, ..] ? ReadNumber(first.Trim()) : null;

    private string Connection(string database) =>
        new NpgsqlConnectionStringBuilder { Host = Folders.Sockets, Username = Login, Database = database }.ConnectionString;

    private string[] PidLines()
    {
        try
        {
            return File.ReadAllLines(PidFile);
        }
        catch (IOException)
        {
            return [];
        }
    }

    /// <summary>Made beside and renamed: a half-made data folder is never started.</summary>
    private async Task CreateDataFolderAsync(CancellationToken cancellationToken)
    {
        foreach (var halfMade in Directory.EnumerateDirectories(Folders.Postgres, "data.new-*"))
        {
            try
            {
                Directory.Delete(halfMade, recursive: true);
            }
            catch (IOException)
            {
                // The initdb of a killed server may still be writing there; the next start sweeps it.
            }
        }

        var made = DataFolder + ".new-" + Guid.NewGuid().ToString("N")[..8];
        string[] command =
        [
            .. Folders.Account.CommandPrefix, Path.Combine(EnginePrograms.PostgresBin(version: null), "initdb"), "-D", made,
            "--username", Login, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions",
        ];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        EngineSupervisor.CleanEnvironment(start);
        using var initdb = Process.Start(start)!;
        var output = initdb.StandardOutput.ReadToEndAsync(cancellationToken);
        var errors = initdb.StandardError.ReadToEndAsync(cancellationToken);
        try
        {
            await initdb.WaitForExitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            initdb.Kill();
            throw;
        }

        await output;
        if (initdb.ExitCode != 0)
        {
            throw new EngineException($"PostgreSQL cannot make its data folder in '{Folders.Postgres}': {(await errors).Trim()}");
        }

        Directory.Move(made, DataFolder);
        Posix.SyncDirectory(Folders.Postgres);
    }

    private async Task CreateDatabaseAsync(CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(Connection("postgres") + ";Pooling=false");
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand($"create database {Login}", connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private string Settings()
    {
        var custom = Path.Combine(Folders.Engines, "postgresql.custom.conf");
        return $"""
            # Written by slipway at each start; changes here are lost. Put yours into {custom}.
            cluster_name = 'slipway'
            listen_addresses = ''
            unix_socket_directories = {Quote('"' + Folders.Sockets + '"')}
            unix_socket_permissions = 0700
            hba_file = {Quote(Path.Combine(Folders.Engines, "pg_hba.conf"))}
            # Small: metadata of one machine, beside builds and apps. Two servers' pools of 50 fit during a restart.
            max_connections = 110
            shared_buffers = 64MB
            maintenance_work_mem = 32MB
            max_wal_size = 512MB
            max_parallel_workers_per_gather = 0
            max_wal_senders = 2
            jit = off
            huge_pages = off
            random_page_cost = 1.1
            timezone = 'UTC'
            log_timezone = 'UTC'
            # No statements in the log: they may carry secrets.
            log_min_messages = warning
            log_min_error_statement = panic
            log_checkpoints = off
            include_if_exists = {Quote(custom)}
            # What an acknowledgement means is not for tuning.
            fsync = on
            full_page_writes = on
            synchronous_commit = on

            """;
    }

    private static string Quote(string value) => $"'{value.Replace("'", "''", StringComparison.Ordinal)}'";

    /// <summary>
    /// Walks the messages (a type byte, a length that counts itself, content) to ReadyForQuery, or to an error and its SQLSTATE. That the login
    /// is fine comes first and says nothing yet: a missing database is only found after it.
    /// </summary>
    private static (bool Ready, string Error) ReadStartup(ReadOnlySpan<byte> answer)
    {
        while (answer.Length >= 5)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(answer[1..]);
            if (length < 4 || length >= answer.Length)
            {
                break;
            }

            var content = answer[5..(length + 1)];
            if (answer[0] == 'Z')
            {
                return (true, "");
            }

            if (answer[0] == 'E')
            {
                // Fields are a letter and a text that ends with zero; the first is always S, so C follows a zero.
                var code = content.IndexOf("\0C"u8) + 2;
                return (false, code < 2 ? "?" : Encoding.ASCII.GetString(content.Slice(code, 5)));
            }

            answer = answer[(length + 1)..];
        }

        return (false, "");
    }

    /// <summary>StartupMessage of protocol 3.0 (PostgreSQL manual, "Message Formats"): its own length, the version, name-value pairs, a zero.</summary>
    private static byte[] StartupMessage()
    {
        var pairs = Encoding.ASCII.GetBytes($"user\0{Login}\0database\0{Login}\0\0");
        return [0, 0, 0, (byte)(pairs.Length + 8), 0, 3, 0, 0, .. pairs];
    }
}
