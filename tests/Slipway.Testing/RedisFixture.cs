using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
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
    /// <param name="more">More of redis-server's own switches.</param>
    public static async Task<RedisFixture> StartAsync(
        CancellationToken cancellationToken, bool tcp = false, bool durable = false, string? password = null, params IReadOnlyList<string> more)
    {
        var folder = MakeFolder();
        var port = tcp ? FreePort() : 0;
        string[] command =
        [
            EnginePrograms.RedisServer(), "--dir", folder + "/data", "--unixsocket", SocketIn(folder), "--unixsocketperm", "700",
            "--port", port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", durable ? "yes" : "no", "--appendfsync", durable ? "always" : "no",
            .. password is null ? Array.Empty<string>() : ["--requirepass", password],
            .. more,
        ];
        return new RedisFixture(folder, command, await StartAsync(folder, command, cancellationToken), port);
    }

    /// <summary>A sentinel, configured by lines like <c>sentinel monitor …</c>.</summary>
    internal static async Task<RedisFixture> StartSentinelAsync(IReadOnlyList<string> lines, CancellationToken cancellationToken)
    {
        var folder = MakeFolder();
        var port = FreePort();
        var file = folder + "/data/sentinel.conf";
        string[] all = [$"port {port}", "bind 127.0.0.1", $"dir {folder}/data", $"unixsocket {SocketIn(folder)}", "unixsocketperm 700", .. lines];
        await File.WriteAllLinesAsync(file, all, cancellationToken);
        // A sentinel keeps what it learns in this file and refuses one that it cannot write; its account may not be ours.
        File.SetUnixFileMode(file, (UnixFileMode)Convert.ToInt32("666", 8));
        string[] command = [EnginePrograms.RedisServer(), file, "--sentinel"];
        return new RedisFixture(folder, command, await StartAsync(folder, command, cancellationToken), port);
    }

    /// <summary>
    /// Asks this server something on a connection of its own (the unix socket), past the client under test. The answer as text:
    /// the elements of an array on lines of their own, an error with its code.
    /// </summary>
    public async Task<string> AskAsync(CancellationToken cancellationToken, params IReadOnlyList<string> words)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), cancellationToken);
        var question = new StringBuilder($"*{words.Count}\r\n");
        foreach (var word in words)
        {
            question.Append(CultureInfo.InvariantCulture, $"${Encoding.UTF8.GetByteCount(word)}\r\n{word}\r\n");
        }

        await socket.SendAsync(Encoding.UTF8.GetBytes(question.ToString()), SocketFlags.None, cancellationToken);
        using var answer = new StreamReader(new NetworkStream(socket), Encoding.Latin1);
        return await ReadAsync(answer, cancellationToken);
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

    public static int FreePort()
    {
        // Free a moment ago is all one can know; redis-server cannot pick a port itself, and says so in its log when it lost the race.
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private static async Task<string> ReadAsync(StreamReader answer, CancellationToken cancellationToken)
    {
        var line = await answer.ReadLineAsync(cancellationToken) ?? throw new EndOfStreamException("redis-server closed the connection.");
        if (line[0] is not ('$' or '*'))
        {
            return line[1..];
        }

        var count = int.Parse(line.AsSpan(1), CultureInfo.InvariantCulture);
        if (line[0] == '*')
        {
            var items = new List<string>();
            for (var i = 0; i < count; i++)
            {
                items.Add(await ReadAsync(answer, cancellationToken));
            }

            return string.Join('\n', items);
        }

        var text = new char[Math.Max(count, 0) + 2];
        if (count >= 0)
        {
            await answer.ReadBlockAsync(text, cancellationToken);
        }

        return new string(text, 0, Math.Max(count, 0));
    }

    private static string MakeFolder()
    {
        var folder = Path.Combine(Path.GetTempPath(), "slipway-redis-" + Guid.NewGuid().ToString("N")[..12]);
        EngineAccount.Current.MakePrivateFolder(folder);
        EngineAccount.Current.MakePrivateFolder(folder + "/data");
        return folder;
    }

    private static string SocketIn(string folder) => folder + "/redis.sock";

    private static Task<TestEngine> StartAsync(string folder, string[] command, CancellationToken cancellationToken) =>
        TestEngine.StartAsync(folder, command, Ready(SocketIn(folder)), cancellationToken);

    // A password makes PING answer -NOAUTH, which is as good a sign of life; -LOADING is not.
    private static Func<CancellationToken, Task<bool>> Ready(string socket) => async token =>
        await TestEngine.AnswersAsync(socket, "PING\r\n"u8.ToArray(), "+PONG", token)
        || await TestEngine.AnswersAsync(socket, "PING\r\n"u8.ToArray(), "-NOAUTH", token);
}
