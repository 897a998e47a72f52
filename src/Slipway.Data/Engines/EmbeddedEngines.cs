using System.Globalization;
using Microsoft.Extensions.Logging;
using Slipway.Native;

namespace Slipway.Data;

/// <param name="DataFolder">The server's data folder; the engines take four folders in it.</param>
public sealed record EmbeddedEnginesOptions(string DataFolder, bool Postgres, bool Redis);

/// <summary>
/// The private PostgreSQL and Redis of a server that was given none: supervised, reachable over unix sockets only, durable.
/// <code>
/// server ──lock──▶ engines/server.lock        one server per data folder
///    │ supervises (start, adopt, start again)
///    ├──▶ postgres ──lock──▶ engines/postgres.lock     one engine per data folder,
///    └──▶ redis    ──lock──▶ engines/redis.lock        also across a killed server
/// </code>
/// The engines are not killed when the server dies: the next one finds them by their lock and goes on with them.
/// </summary>
public sealed class EmbeddedEngines : IAsyncDisposable
{
    private readonly FileLock gate;
    private readonly PostgresEngine? postgres;
    private readonly RedisEngine? redis;

    // In the order they are stopped: the queue first, because jobs in flight record their outcome in the database.
    private readonly List<EngineSupervisor> supervisors = [];
    private bool ended;

    private EmbeddedEngines(EngineFolders folders, FileLock folderLock, EmbeddedEnginesOptions options, TimeProvider time, ILogger logger)
    {
        gate = folderLock;
        DataFolder = folders.Data;
        if (options.Redis)
        {
            redis = new RedisEngine(folders);
            supervisors.Add(new EngineSupervisor(redis, time, logger));
        }

        if (options.Postgres)
        {
            postgres = new PostgresEngine(folders);
            supervisors.Add(new EngineSupervisor(postgres, time, logger));
        }
    }

    public string DataFolder { get; }

    /// <summary>An Npgsql connection string.</summary>
    public string DatabaseUrl => (postgres ?? throw new InvalidOperationException("PostgreSQL was not asked for")).ConnectionString;

    /// <summary><c>unix:///…/redis.sock</c></summary>
    public string RedisUrl => "unix://" + (redis ?? throw new InvalidOperationException("Redis was not asked for")).SocketPath;

    public IReadOnlyList<EngineStatus> Status => [.. supervisors.Select(supervisor => supervisor.Status)];

    /// <summary>Whether the engines could run in this folder, as far as that shows without making anything.</summary>
    public static bool CanHost(string folder, out string problem)
    {
        try
        {
            problem = new EngineFolders(folder).Problem() ?? "";
        }
        catch (EngineException e)
        {
            problem = e.Message;
        }

        return problem.Length == 0;
    }

    /// <summary>Starts or adopts both engines at once and returns when both answer. A start that fails leaves nothing running.</summary>
    /// <exception cref="EngineException">Another server has the folder, a program is not installed, the folder cannot be used, an engine does not start.</exception>
    public static async Task<EmbeddedEngines> StartAsync(
        EmbeddedEnginesOptions options, TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        var folders = new EngineFolders(options.DataFolder);
        folders.Make();
        var engines = new EmbeddedEngines(folders, await TakeAsync(folders, cancellationToken), options, time, logger);
        try
        {
            await Task.WhenAll(engines.supervisors.Select(supervisor => supervisor.StartAsync(cancellationToken)));
            return engines;
        }
        catch
        {
            await engines.StopAsync(CancellationToken.None);
            throw;
        }
    }

    /// <summary>Stops Redis, then PostgreSQL. When the token is cancelled, the hard way; nothing acknowledged is lost either way.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => EndAsync(supervisor => supervisor.StopAsync(cancellationToken));

    public async ValueTask DisposeAsync() => await StopAsync(CancellationToken.None);

    /// <summary>For tests: leaves everything as a killed server does.</summary>
    internal Task AbandonAsync() => EndAsync(supervisor => supervisor.AbandonAsync());

    private static async Task<FileLock> TakeAsync(EngineFolders folders, CancellationToken cancellationToken)
    {
        var path = Path.Combine(folders.Engines, "server.lock");
        var owner = Path.Combine(folders.Engines, "server.pid");
        if (Posix.TryLock(path) is { } taken)
        {
            await File.WriteAllTextAsync(owner, Environment.ProcessId.ToString(CultureInfo.InvariantCulture), cancellationToken);
            return taken;
        }

        var number = File.Exists(owner) ? await File.ReadAllTextAsync(owner, cancellationToken) : "unknown";
        throw new EngineException(
            $"the data folder '{folders.Data}' is in use by another slipway server (process {number}). Stop that one first, or give this one a folder of its own with --data DIR.");
    }

    private async Task EndAsync(Func<EngineSupervisor, Task> end)
    {
        if (ended)
        {
            return;
        }

        ended = true;
        try
        {
            foreach (var supervisor in supervisors)
            {
                await end(supervisor);
            }
        }
        finally
        {
            gate.Dispose();
        }
    }
}
