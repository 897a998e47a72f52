namespace Slipway.Data;

internal sealed class RedisEngine(EngineFolders folders) : Engine("redis", folders)
{
    private string Settings => Path.Combine(Folders.Engines, "redis.conf");

    private string PidFile => Path.Combine(Folders.Run, "redis.pid");

    public string SocketPath => Path.Combine(Folders.Sockets, "redis.sock");

    /// <summary>With appendfsync always nothing acknowledged is ever only in memory.</summary>
    public override Signal LastResort => Signal.Kill;

    public override Task PrepareAsync(CancellationToken cancellationToken) => File.WriteAllTextAsync(
        Settings,
        $"""
        # Written by slipway at each start; changes here are lost.
        port 0
        unixsocket {Quote(SocketPath)}
        unixsocketperm 700
        daemonize no
        pidfile {Quote(PidFile)}
        dir {Quote(Folders.Redis)}
        loglevel notice
        databases 16
        # An acknowledged job survives kill -9 and a power cut: with everysec, 2 of 6 kills lost some.
        appendonly yes
        appendfsync always
        no-appendfsync-on-rewrite no
        save ""
        # Refuse new jobs rather than forget old ones. 1 GiB is about a million jobs of 1 kB.
        maxmemory 1gb
        maxmemory-policy noeviction

        """,
        cancellationToken);

    public override IReadOnlyList<string> Command() => [EnginePrograms.RedisServer(), Settings];

    public override async Task<bool> AnswersAsync(CancellationToken cancellationToken) =>
        (await AskAsync(SocketPath, "PING\r\n"u8.ToArray(), WholeLine, cancellationToken)).AsSpan().StartsWith("+PONG"u8);

    public override async Task AskToStopAsync(int processId, CancellationToken cancellationToken)
    {
        // It closes the connection without a word when it obeys. The signal means the same, but is looked at only ten times a second;
        // it covers a server that is still loading and takes no commands.
        if ((await AskAsync(SocketPath, "SHUTDOWN\r\n"u8.ToArray(), WholeLine, cancellationToken)).Length > 0)
        {
            ProcessTable.Signal(processId, Signal.Terminate);
        }
    }

    protected override int? WrittenProcessId() => File.Exists(PidFile) ? ReadNumber(File.ReadAllText(PidFile).Trim()) : null;

    private static bool WholeLine(ReadOnlySpan<byte> answer) => answer.EndsWith("\r\n"u8);

    private static string Quote(string path) => $"\"{path.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
}
