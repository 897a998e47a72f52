using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Slipway.Data;

namespace Slipway.Testing;

/// <summary>
/// Databases for tests, on one private PostgreSQL per test process: started by the first that asks, ended with the process.
/// <code>await using var test = await PostgresFixture.CreateDatabaseAsync([TenancyMigrations.Module], cancellationToken);</code>
/// </summary>
/// <remarks>
/// The migrations of a set of modules are applied once, to a template; each test gets a copy. Nothing is synced to disk: these databases
/// need not survive a power cut, only a test.
/// </remarks>
public static class PostgresFixture
{
    private static readonly Lazy<Task<string>> Server = new(StartAsync);
    private static readonly SemaphoreSlim TemplateLock = new(1, 1);
    private static readonly Dictionary<string, string> Templates = new(StringComparer.Ordinal);
    private static NpgsqlDataSource? admin;

    // Only held: its pipe is the guard's sign of life, and a collected object would close it.
    private static TestEngine? engine;
    private static int count;

    /// <summary>A fresh database with the modules' migrations applied; dropped when disposed.</summary>
    public static async Task<TestDatabase> CreateDatabaseAsync(IReadOnlyList<MigrationModule> modules, CancellationToken cancellationToken)
    {
        var server = await Server.Value;
        var template = await TemplateAsync(server, modules, cancellationToken);
        var name = NextName("test");
        await CreateAsync(name, template, cancellationToken);
        return new TestDatabase(With(server, name), name);
    }

    /// <summary>A fresh database with nothing in it.</summary>
    public static Task<TestDatabase> CreateDatabaseAsync(CancellationToken cancellationToken) => CreateDatabaseAsync([], cancellationToken);

    internal static async Task DropAsync(string name)
    {
        await using var command = admin!.CreateCommand($"drop database if exists {name} with (force)");
        await command.ExecuteNonQueryAsync();
    }

    private static async Task<string> TemplateAsync(string server, IReadOnlyList<MigrationModule> modules, CancellationToken cancellationToken)
    {
        if (modules.Count == 0)
        {
            return "template0";
        }

        var key = string.Join('\n', modules.Select(module => $"{module.Module} {module.Assembly.FullName}"));
        await TemplateLock.WaitAsync(cancellationToken);
        try
        {
            if (!Templates.TryGetValue(key, out var template))
            {
                template = NextName("template");
                await CreateAsync(template, "template0", cancellationToken);
                // A template is copied only while nobody is connected to it: no pool may keep a connection open.
                await using (var database = new Database(With(server, template) + ";Pooling=false"))
                {
                    await Migrator.ApplyAsync(database, modules, NullLogger.Instance, cancellationToken);
                }

                Templates.Add(key, template);
            }

            return template;
        }
        finally
        {
            TemplateLock.Release();
        }
    }

    private static async Task CreateAsync(string name, string template, CancellationToken cancellationToken)
    {
        await using var command = admin!.CreateCommand($"create database {name} template {template}");
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static string NextName(string prefix) => $"{prefix}_{Interlocked.Increment(ref count)}";

    private static string With(string server, string database) => new NpgsqlConnectionStringBuilder(server) { Database = database }.ConnectionString;

    // Not the caller's token: the server is for every test of the process, whoever asked first.
    private static async Task<string> StartAsync()
    {
        var folder = Path.Combine(Path.GetTempPath(), "slipway-pg-" + Guid.NewGuid().ToString("N")[..12]);
        EngineAccount.Current.MakePrivateFolder(folder);
        var bin = EnginePrograms.PostgresBin(version: null);
        // initdb under the same guard as the server: a test run killed in its first second leaves nothing behind either.
        const string InitAndServe = """
            bin=$1; folder=$2; shift 2
            "$bin/initdb" -D "$folder/data" -U slipway -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions && exec "$bin/postgres" "$@"
            """;
        engine = await TestEngine.StartAsync(
            folder,
            [
                "/bin/sh", "-c", InitAndServe, "postgres", bin, folder, "-D", $"{folder}/data", "-k", folder, "-h", "",
                "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "autovacuum=off",
                "-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c", "max_wal_senders=0", "-c", "wal_level=minimal",
                "-c", "max_parallel_workers_per_gather=0", "-c", "jit=off", "-c", "timezone=UTC",
            ],
            token => TestEngine.AnswersAsync($"{folder}/.s.PGSQL.5432", Startup, "R", token),
            CancellationToken.None);
        var settings = $"Host={folder};Username=slipway;Database=postgres;Maximum Pool Size=20;Timeout=30";
        admin = NpgsqlDataSource.Create(settings);
        return settings;
    }

    /// <summary>StartupMessage of protocol 3.0 (PostgreSQL manual 55.7); a server that is ready answers 'R', one that is not 'E'.</summary>
    private static byte[] Startup { get; } =
        [0, 0, 0, 40, 0, 3, 0, 0, .. Encoding.ASCII.GetBytes("user\0slipway\0database\0postgres\0\0")];
}

/// <summary>One test's database.</summary>
public sealed class TestDatabase : IAsyncDisposable
{
    private readonly string name;

    internal TestDatabase(string connectionString, string name)
    {
        this.name = name;
        // Small pools: many tests at once share one server's connections.
        ConnectionString = new NpgsqlConnectionStringBuilder(connectionString) { MaxPoolSize = 10 }.ConnectionString;
        Database = new Database(ConnectionString);
    }

    public string ConnectionString { get; }

    public Database Database { get; }

    public async ValueTask DisposeAsync()
    {
        await Database.DisposeAsync();
        await PostgresFixture.DropAsync(name);
    }
}
