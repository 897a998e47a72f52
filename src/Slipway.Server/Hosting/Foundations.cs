using Microsoft.Extensions.Logging;
using Slipway.Content;
using Slipway.Data;
using Slipway.Resp;
using Slipway.Server.Configuration;

namespace Slipway.Server.Hosting;

/// <summary>
/// What stands before the first request and after the last: the locked data folder, the engines, the connections to them, and the
/// content stores. Opened in that order, closed in the opposite one.
/// </summary>
internal sealed class Foundations : IAsyncDisposable
{
    private readonly EmbeddedEngines engines;

    private Foundations(DataFolder dataFolder, EmbeddedEngines engines, Database database, IRespClient redis, ContentStores stores)
    {
        DataFolder = dataFolder;
        this.engines = engines;
        Database = database;
        Redis = redis;
        Stores = stores;
    }

    public DataFolder DataFolder { get; }

    public Database Database { get; }

    public IRespClient Redis { get; }

    public ContentStores Stores { get; }

    public static async Task<Foundations> OpenAsync(
        ServerConfiguration configuration,
        DataFolder dataFolder,
        IReadOnlyList<MigrationModule> migrations,
        StartUpClock clock,
        ILoggerFactory loggers,
        TimeProvider time,
        CancellationToken cancellationToken)
    {
        // The lock on the data folder is the engines', taken first thing and held even when neither engine is embedded.
        var options = new EmbeddedEnginesOptions(dataFolder.Path, configuration.Database.Url is null, configuration.Redis.Url is null);
        var engines = await EmbeddedEngines.StartAsync(options, time, loggers.CreateLogger<EmbeddedEngines>(), cancellationToken);
        clock.Done("engines");
        Database? database = null;
        IRespClient? redis = null;
        try
        {
            database = new Database(configuration.Database.Url ?? engines.DatabaseUrl, loggers);
            var connecting = RespClient.ConnectAsync(
                new RespOptions { Url = configuration.Redis.Url ?? engines.RedisUrl, Time = time }, loggers.CreateLogger(typeof(RespClient)), cancellationToken);
            try
            {
                await Migrator.ApplyAsync(database, migrations, loggers.CreateLogger("Slipway.Data.Migrator"), cancellationToken);
            }
            finally
            {
                redis = await connecting;
            }

            clock.Done("migrations");
            var stores = new ContentStores(new ContentStoreOptions { ReserveBytes = configuration.Content.ReserveBytes, S3 = configuration.Content.S3 }, time, loggers.CreateLogger<ContentStores>());
            return new Foundations(dataFolder, engines, database, redis, stores);
        }
        catch
        {
            if (redis is not null)
            {
                await redis.DisposeAsync();
            }

            if (database is not null)
            {
                await database.DisposeAsync();
            }

            await engines.DisposeAsync();
            throw;
        }
    }

    /// <summary>Closes everything in order; the engines last, so that whatever was acknowledged is on disk before this returns.</summary>
    public async ValueTask DisposeAsync()
    {
        await Stores.DisposeAsync();
        await Redis.DisposeAsync();
        await Database.DisposeAsync();
        await engines.DisposeAsync();
    }
}
