using System.Net;
using System.Net.Sockets;
using Slipway.Data;

namespace Slipway.Testing;

/// <summary>A private redis-server of one test (about 10 ms to start), on a unix socket and, when asked, on a loopback port.</summary>
public sealed class RedisFixture : IAsyncDisposable
{
    private readonly string folder;
    private readonly string[] command;
    private TestEngine engine;

    private RedisFixture(string folder, string[] command, TestEngine engine, int port)
    {
        this.folder = folder;
        this.command = command;
        this.engine = engine;
        Port = port;
    }

    public string SocketPath => SocketIn(folder);

    /// <summary><c>unix:///…/redis.sock</c></summary>
    public string Url => "unix://" + SocketPath;

    /// <summary>0 when started without TCP.</summary>
    public int Port { get; }

    public int ProcessId => engine.ProcessId;

    /// <param name="durable">Append-only file, synced on every write, kept over <see cref="RestartAsync"/>: as the server runs it.</param>
    /// <param name="password">For <c>AUTH</c> of the default user.</param>
    public static async Task<RedisFixture> StartAsync(
        CancellationToken cancellationToken, bool tcp = false, bool durable = false, string? password = null)
    {
        var folder = Path.Combine(Path.GetTempPath(), "slipway-redis-" + Guid.NewGuid().ToString("N")[..12]);
        EngineAccount.Current.MakePrivateFolder(folder);
        EngineAccount.Current.MakePrivateFolder(folder + "/data");
        var port = tcp ? FreePort() : 0;
        string[] command =
        [
            EnginePrograms.RedisServer(), "--dir", folder + "/data", "--unixsocket", SocketIn(folder), "--unixsocketperm", "700",
            "--port", port.ToString(System.Globalization.CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", durable ? "yes" : "no", "--appendfsync", durable ? "always" : "no",
            .. password is null ? Array.Empty<string>() : ["--requirepass", password],
        ];
        return new RedisFixture(folder, command, await StartAsync(folder, command, cancellationToken), port);
    }

    /// <summary><c>kill -9</c>; what was durable is still there after <see cref="RestartAsync"/>.</summary>
    public async Task KillAsync(CancellationToken cancellationToken)
    {
        engine.Kill();
        await Eventually.TrueAsync(() => !ProcessTable.IsAlive(engine.ProcessId), cancellationToken);
    }

    public async Task RestartAsync(CancellationToken cancellationToken)
    {
        await engine.ReleaseAsync();
        engine = await StartAsync(folder, command, cancellationToken);
    }

    /// <summary>Stops the process without ending it: connections stay open and nothing answers, like a hung machine.</summary>
    public void Freeze() => engine.Signal(Signal.Stop);

    public void Thaw() => engine.Signal(Signal.Continue);

    public ValueTask DisposeAsync() => engine.DisposeAsync();

    private static string SocketIn(string folder) => folder + "/redis.sock";

    private static Task<TestEngine> StartAsync(string folder, string[] command, CancellationToken cancellationToken) =>
        TestEngine.StartAsync(folder, command, Ready(SocketIn(folder)), cancellationToken);

    // A password makes PING answer -NOAUTH, which is as good a sign of life; -LOADING is not.
    private static Func<CancellationToken, Task<bool>> Ready(string socket) => async token =>
        await TestEngine.AnswersAsync(socket, "PING\r\n"u8.ToArray(), "+PONG", token)
        || await TestEngine.AnswersAsync(socket, "PING\r\n"u8.ToArray(), "-NOAUTH", token);

    private static int FreePort()
    {
        // Free a moment ago is all one can know; redis-server cannot pick a port itself, and says so in its log when it lost the race.
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
