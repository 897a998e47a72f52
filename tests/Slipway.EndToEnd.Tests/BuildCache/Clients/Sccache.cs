using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>
/// sccache 0.17 of Debian sid: the builds in bookworm and trixie can't do WebDAV. It wants a newer libc than this machine may
/// have, so it is run with the one that was unpacked beside it. Its server is shut down with it.
/// </summary>
internal sealed class Sccache : IAsyncDisposable
{
    private readonly TempFolder folder = new();
    private readonly string program;
    private readonly Dictionary<string, string?> environment;

    private Sccache(string program, Uri endpoint, string key)
    {
        this.program = program;
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        environment = new Dictionary<string, string?>
        {
            ["SCCACHE_SERVER_PORT"] = ((IPEndPoint)listener.LocalEndpoint).Port.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["SCCACHE_WEBDAV_ENDPOINT"] = endpoint.ToString(),
            ["SCCACHE_WEBDAV_KEY_PREFIX"] = "sccache",
            ["SCCACHE_WEBDAV_TOKEN"] = key,
            ["SCCACHE_IDLE_TIMEOUT"] = "60",
            ["HOME"] = folder.Folder("home"),
        };
    }

    /// <param name="endpoint">The URL of the build cache, without <c>/sccache</c>.</param>
    public static async Task<Sccache> StartAsync(Uri endpoint, string key)
    {
        var patchelf = Downloads.Installed("patchelf", "patchelf");
        var files = await Downloads.DebianAsync("sid", "sccache", "libc6", "libgcc-s1", "libssl3t64", "libzstd1", "zlib1g");
        var original = Path.Combine(files, "usr/bin/sccache");
        var libraries = Path.Combine(files, "usr/lib/x86_64-linux-gnu");
        var sccache = new Sccache(Path.Combine(files, "usr/bin/local/sccache"), endpoint, key);
        if (!File.Exists(sccache.program))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(sccache.program)!);
            File.Copy(original, sccache.program, overwrite: true);
            (await Run.ProgramAsync(patchelf, ["--set-interpreter", $"{libraries}/ld-linux-x86-64.so.2", "--set-rpath", libraries, sccache.program])).ShouldSucceed();
        }

        (await sccache.RunAsync("--start-server")).ShouldSucceed();
        return sccache;
    }

    public Task<Ran> RunAsync(params string[] arguments) => Run.ProgramAsync(program, arguments, environment, folder: folder.Path);

    public async Task<Ran> CompileAsync(string source)
    {
        File.WriteAllText(folder.File("unit.c"), source);
        return await RunAsync("gcc", "-c", "unit.c", "-o", "unit.o");
    }

    /// <summary>Hits and misses since the server was started, and where its cache lies.</summary>
    public async Task<(long Hits, long Misses, string Location)> StatisticsAsync()
    {
        var all = JsonNode.Parse((await RunAsync("--show-stats", "--stats-format=json")).ShouldSucceed().Output)!;
        return (Sum("cache_hits"), Sum("cache_misses"), all["cache_location"]!.GetValue<string>());

        long Sum(string name) => all["stats"]![name]!["counts"]!.AsObject().Sum(count => count.Value!.GetValue<long>());
    }

    public async ValueTask DisposeAsync()
    {
        await RunAsync("--stop-server");
        folder.Dispose();
    }
}
