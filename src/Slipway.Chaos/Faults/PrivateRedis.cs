using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;

namespace Slipway.Chaos.Faults;

internal enum AppendMode
{
    None,
    EverySecond,
    Always,
}

/// <summary>A redis-server of one scenario, on a loopback port and a folder of its own, to be killed, stopped, filled and restarted.</summary>
internal sealed class PrivateRedis : IAsyncDisposable
{
    private readonly string program;
    private readonly string[] arguments;
    private GuardedProcess process;
    private IRespClient? admin;

    private PrivateRedis(string program, string folder, int port, string[] arguments, GuardedProcess process)
    {
        this.program = program;
        this.arguments = arguments;
        this.process = process;
        Folder = folder;
        Port = port;
    }

    public string Folder { get; }

    public string DataFolder => Path.Combine(Folder, "data");

    public string AppendFolder => Path.Combine(DataFolder, "appendonlydir");

    public int Port { get; }

    public string Url => $"redis://127.0.0.1:{Port}";

    public GuardedProcess Process => process;

    /// <param name="more">Further words of its command line.</param>
    public static async Task<PrivateRedis> StartAsync(string program, string folder, AppendMode mode, IReadOnlyList<string> more, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Path.Combine(folder, "data"));
        for (int attempt = 0; ; attempt++)
        {
            // Free a moment ago is all one can know: when somebody else was quicker, it does not start, and the next one may.
            int port = FreePort();
            string[] arguments =
            [
                "--dir", Path.Combine(folder, "data"), "--port", $"{port}", "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction",
                "--appendonly", mode is AppendMode.None ? "no" : "yes", "--appendfsync", mode is AppendMode.Always ? "always" : "everysec", .. more,
            ];
            GuardedProcess process = await GuardedProcess.StartAsync([program, .. arguments], Path.Combine(folder, "log"), null, cancellationToken);
            var redis = new PrivateRedis(program, folder, port, arguments, process);
            try
            {
                await redis.AnswersAsync(cancellationToken);
                return redis;
            }
            catch (InvalidOperationException) when (attempt < 3 && process.HasEnded)
            {
                await redis.DisposeAsync();
            }
        }
    }

    /// <summary>A connection of the scenario's own, past every proxy.</summary>
    public async Task<IRespClient> AdminAsync(CancellationToken cancellationToken) =>
        admin ??= await RespClient.ConnectAsync(new RespOptions { Url = Url, ClientName = "chaos-admin" }, NullLogger.Instance, cancellationToken);

    public async Task<RespValue> SendAsync(CancellationToken cancellationToken, params RespArgument[] words) =>
        await (await AdminAsync(cancellationToken)).SendAsync(RespCommand.Of(words) with { Idempotent = true }, cancellationToken);

    /// <summary><c>kill -9</c>, and waits until it is gone.</summary>
    public async Task KillAsync(CancellationToken cancellationToken)
    {
        process.Send(Signal.Kill);
        await process.ExitCodeAsync(cancellationToken);
    }

    /// <summary>What <c>systemctl stop</c> does. Returns its exit code.</summary>
    public Task<int> TerminateAsync(CancellationToken cancellationToken)
    {
        process.Send(Signal.Terminate);
        return process.ExitCodeAsync(cancellationToken);
    }

    /// <summary>Starts it again on what it left behind, and waits until it has loaded that.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken, bool wait = true)
    {
        await process.DisposeAsync();
        process = await GuardedProcess.StartAsync([program, .. arguments], Path.Combine(Folder, "log"), null, cancellationToken);
        if (wait)
        {
            await AnswersAsync(cancellationToken);
        }
    }

    /// <summary>The append-only files as they are at this moment, as a power cut might leave them.</summary>
    public void CopyAppendFolder(string target)
    {
        if (Directory.Exists(target))
        {
            Directory.Delete(target, recursive: true);
        }

        Directory.CreateDirectory(target);
        foreach (string file in Directory.EnumerateFiles(AppendFolder))
        {
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (admin is not null)
        {
            await admin.DisposeAsync();
        }

        await process.DisposeAsync();
    }

    private async Task AnswersAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(30));
        byte[] answer = new byte[7];
        while (true)
        {
            if (process.HasEnded || limit.IsCancellationRequested)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new InvalidOperationException($"{program} did not start:\n{await File.ReadAllTextAsync(process.LogPath, cancellationToken)}");
            }

            try
            {
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(IPAddress.Loopback, Port, limit.Token);
                await socket.SendAsync("PING\r\n"u8.ToArray(), SocketFlags.None, limit.Token);
                int read = await socket.ReceiveAsync(answer, SocketFlags.None, limit.Token);
                if (answer.AsSpan(0, read).StartsWith("+PONG"u8))
                {
                    return;
                }
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // Not yet.
            }

            await Task.Delay(5, cancellationToken);
        }
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
