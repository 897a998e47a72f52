using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

namespace Slipway.Bench.Queues;

/// <summary>An empty redis-server for one run, in a folder of its own, on a port of loopback that nobody knows.</summary>
internal sealed class PrivateRedis : IAsyncDisposable
{
    private readonly Process process;
    private readonly string folder;

    private PrivateRedis(Process process, string folder, int port, RedisProbe probe)
    {
        this.process = process;
        this.folder = folder;
        Port = port;
        Probe = probe;
    }

    public int Port { get; }

    public int Pid => process.Id;

    public RedisProbe Probe { get; }

    /// <param name="aof">"no" (nothing is written), "everysec" or "always".</param>
    /// <param name="data">The folder under which it keeps its files.</param>
    public static async Task<PrivateRedis> StartAsync(string aof, string data, CancellationToken cancellationToken)
    {
        var folder = Directory.CreateDirectory(Path.Combine(data, Guid.NewGuid().ToString("N"))).FullName;
        var port = Shell.FreePort();
        var log = Path.Combine(folder, "redis.log");
        string[] arguments =
        [
            "--port", port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--dir", folder, "--logfile", log,
            // No snapshots and no rewrite of the log: they would hit some runs and not others.
            "--save", "", "--auto-aof-rewrite-percentage", "0",
            "--appendonly", aof == "no" ? "no" : "yes", "--appendfsync", aof == "no" ? "everysec" : aof,
        ];
        var process = Shell.Start(Shell.Find("redis-server")!, arguments, log + ".out");
        try
        {
            while (true)
            {
                try
                {
                    return new PrivateRedis(process, folder, port, await RedisProbe.ConnectAsync(port, cancellationToken));
                }
                catch (SocketException) when (!process.HasExited)
                {
                    await Task.Delay(10, cancellationToken);
                }
            }
        }
        catch
        {
            process.Kill();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        Probe.Dispose();
        // Nobody wants its data any more.
        process.Kill();
        await process.WaitForExitAsync(CancellationToken.None);
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}
