using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Slipway.Server.Configuration;
using Slipway.Server.Hosting;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests;

/// <summary>The whole server in this process: real Kestrel on a free port, real PostgreSQL, real Redis.</summary>
public sealed class RunningServer : IAsyncLifetime
{
    private readonly TempFolder folder = new();
    private TestDatabase? database;

    internal SlipwayServer Server { get; private set; } = null!;

    public RedisFixture Redis { get; private set; } = null!;

    public HttpClient Client { get; private set; } = null!;

    public string DataFolder => folder.Path;

    public Npgsql.NpgsqlDataSource Database => database!.Database.Source;

    public ValueTask InitializeAsync() => StartAsync(TestEndpoints.Map);

    internal async ValueTask StartAsync(Action<WebApplication> extend, params (string Key, string Value)[] settings)
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        database = await PostgresFixture.CreateDatabaseAsync(cancellationToken);
        Redis = await RedisFixture.StartAsync(cancellationToken);
        (string Key, string Value)[] all =
        [
            ("http.listen", "127.0.0.1:0"), ("data.folder", folder.Path), ("log.level", "error"),
            ("database.url", database.ConnectionString), ("redis.url", Redis.Url), .. settings,
        ];
        var loaded = ConfigurationLoader.Load(null, new Dictionary<string, string>(), [.. all.Select(one => new Setting(one.Key, one.Value, new Origin(OriginKind.Flag, "test")))]);
        if (loaded.Faults.Count > 0)
        {
            throw new InvalidOperationException(string.Join("; ", loaded.Faults));
        }

        var configuration = loaded.Configuration with { Sessions = loaded.Configuration.Sessions with { PasswordIterations = 1000 } };
        Server = await SlipwayServer.StartAsync(configuration, new DataFolder(folder.Path, null), TimeProvider.System, extend, cancellationToken);
        Client = new HttpClient { BaseAddress = Server.Url };
    }

    /// <summary>Takes the database away: its connections break and it can't be reached again.</summary>
    public ValueTask DropDatabaseAsync() => database!.DisposeAsync();

    /// <summary>Sends <paramref name="text"/> on a connection of its own and gives it back with what is read until <paramref name="until"/> or the end.</summary>
    public async Task<(string Answer, bool Closed, Socket Socket)> SendRawAsync(string text, string? until = null)
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, Server.Url.Port), cancellationToken);
        await socket.SendAsync(Encoding.ASCII.GetBytes(text.ReplaceLineEndings("\r\n")), cancellationToken);
        var (answer, closed) = await ReadAsync(socket, until);
        return (answer, closed, socket);
    }

    public static async Task<(string Answer, bool Closed)> ReadAsync(Socket socket, string? until)
    {
        var answer = new StringBuilder();
        var buffer = new byte[4096];
        while (true)
        {
            var length = await socket.ReceiveAsync(buffer, TestContext.Current.CancellationToken);
            if (length == 0)
            {
                return (answer.ToString(), true);
            }

            answer.Append(Encoding.ASCII.GetString(buffer, 0, length));
            if (until is not null && answer.ToString().Contains(until, StringComparison.Ordinal))
            {
                return (answer.ToString(), false);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        Client?.Dispose();
        if (Server is not null)
        {
            await Server.DisposeAsync();
        }

        if (Redis is not null)
        {
            await Redis.DisposeAsync();
        }

        if (database is not null)
        {
            await database.DisposeAsync();
        }

        folder.Dispose();
    }
}
