using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Slipway.Native;

namespace Slipway.Bench;

/// <summary>CPU seconds of everything that takes part in one push, and how long it took.</summary>
internal sealed record PushCost(double Wall, double Server, double Postgres, double Redis)
{
    public static PushCost Median(IReadOnlyCollection<PushCost> runs) => new(
        Stats.Median(runs.Select(run => run.Wall)), Stats.Median(runs.Select(run => run.Server)),
        Stats.Median(runs.Select(run => run.Postgres)), Stats.Median(runs.Select(run => run.Redis)));
}

internal sealed record SmallPushResult(string Name, int Paths, PushCost Cost, double Noise);

/// <param name="HashSeconds">SHA-256 alone, over the file and over the NAR in it: what verifying can't do without.</param>
/// <param name="DecompressSeconds">Decompression alone.</param>
/// <param name="NginxSeconds">CPU of nginx for the same PUT, which checks nothing.</param>
internal sealed record LargePushResult(
    long NarBytes, long FileBytes, PushCost Cost, double HashSeconds, double DecompressSeconds, double NginxSeconds, long PeakMemory, double Noise)
{
    public double OfBound => (HashSeconds + DecompressSeconds) / Cost.Server;
}

internal sealed class Pushes(BenchedServer server, Nginx nginx, string root, string folder, int runs)
{
    private const int Paths = 2001;

    private readonly Random random = new(2);
    private int made;

    /// <summary>Stock <c>nix copy</c> to us and to nginx, and <c>slipway push</c>; new paths in a new cache each time.</summary>
    public async Task<IReadOnlyList<SmallPushResult>> MeasureSmallAsync()
    {
        var environment = NixEnvironment();
        var stock = new List<PushCost>();
        var floor = new List<PushCost>();
        var own = new List<PushCost>();
        for (var run = 0; run <= runs; run++)
        {
            var tree = await TreeAsync(environment);
            var netrc = Path.Combine(folder, "netrc");
            await File.WriteAllTextAsync(netrc, $"machine 127.0.0.1 login slipway password {server.Key}\n");
            var byStock = await server.CreateCacheAsync($"stock{made}");
            var one = await CostAsync(() => Shell.RunAsync(
                "nix", ["copy", "--to", new Uri(server.Url, byStock.TrimEnd('/')) + "?compression=zstd", tree, "--option", "netrc-file", netrc], Fresh(environment)));
            var nginxCpu = Cpu.OfTree(nginx.Pid);
            var started = Stopwatch.GetTimestamp();
            await Shell.RunAsync("nix", ["copy", "--to", $"{nginx.Url}stock{made}?compression=zstd", tree], Fresh(environment));
            var two = new PushCost(Stopwatch.GetElapsedTime(started).TotalSeconds, Cpu.OfTree(nginx.Pid) - nginxCpu, 0, 0);

            await server.CreateCacheAsync($"own{made}");
            var three = await CostAsync(() => Shell.RunAsync(
                "dotnet", [Path.Combine(root, "artifacts/publish/cli/slipway.dll"), "push", $"bench/own{made}", tree],
                new Dictionary<string, string?>(environment)
                {
                    ["SLIPWAY_URL"] = server.Url.ToString(), ["SLIPWAY_TOKEN"] = server.Key, ["XDG_CONFIG_HOME"] = Path.Combine(folder, "config"), ["DOTNET_TieredPGO"] = "0",
                }));
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"push of {Paths}: nix copy {one}, to nginx {two}, slipway push {three}"));
            if (run > 0)
            {
                // The first is the warm-up.
                stock.Add(one);
                floor.Add(two);
                own.Add(three);
            }
        }

        return
        [
            new("nix copy", Paths, PushCost.Median(stock), Spread(stock)),
            new("nix copy to nginx (stores, checks nothing)", Paths, PushCost.Median(floor), Spread(floor)),
            new("slipway push", Paths, PushCost.Median(own), Spread(own)),
        ];
    }

    /// <summary>One PUT of a real folder's NAR, and its parts alone.</summary>
    public async Task<LargePushResult> MeasureLargeAsync()
    {
        // Something real, of the right size, and on every machine that can build this: the SDK itself.
        var nar = Nars.OfFolder(SdkFolder(), random);
        var costs = new List<PushCost>();
        var hashes = new List<double>();
        var decompressions = new List<double>();
        var floors = new List<double>();
        long memory = 0;
        for (var run = 0; run <= runs; run++)
        {
            var cache = await server.CreateCacheAsync($"large{run}");
            Cpu.ResetPeakMemory(server.Pid);
            var cost = await CostAsync(() => Nars.PutAsync(server.Http, cache, nar));
            var peak = Cpu.PeakMemory(server.Pid);
            var nginxCpu = Cpu.OfTree(nginx.Pid);
            using (var http = new HttpClient { BaseAddress = nginx.Url, Timeout = TimeSpan.FromMinutes(5) })
            {
                await Nars.PutAsync(http, $"/large{run}/" + nar.Path, nar.Body);
            }

            var floor = Cpu.OfTree(nginx.Pid) - nginxCpu;
            var (hash, decompress) = Alone(nar);
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"push of {nar.NarSize / 1e6:F0} MB: {cost}; SHA-256 {hash:F2} s, zstd {decompress:F2} s, nginx {floor:F2} s, peak memory {peak / 1e6:F0} MB"));
            if (run > 0)
            {
                costs.Add(cost);
                hashes.Add(hash);
                decompressions.Add(decompress);
                floors.Add(floor);
                memory = Math.Max(memory, peak);
            }
        }

        return new LargePushResult(
            nar.NarSize, nar.Body.Length, PushCost.Median(costs), Stats.Median(hashes), Stats.Median(decompressions), Stats.Median(floors), memory, Spread(costs));
    }

    private static double Spread(List<PushCost> costs) => Stats.Spread(costs.Select(cost => cost.Server));

    private async Task<PushCost> CostAsync(Func<Task> push)
    {
        var (own, postgres, redis) = (Cpu.Of(server.Pid), Cpu.OfTree(server.Postgres), Cpu.OfTree(server.Redis));
        var started = Stopwatch.GetTimestamp();
        await push();
        var wall = Stopwatch.GetElapsedTime(started).TotalSeconds;
        return new PushCost(wall, Cpu.Of(server.Pid) - own, Cpu.OfTree(server.Postgres) - postgres, Cpu.OfTree(server.Redis) - redis);
    }

    /// <summary>CPU seconds of hashing, and of decompressing, each by itself in this process.</summary>
    private static (double Hashing, double Decompressing) Alone(NarFile nar)
    {
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var decompressor = Decompressor.Create(CompressionFormat.Zstd, new DecompressionLimits(27, 128 << 20));
        var buffer = new byte[256 << 10];
        TimeSpan hashing = default, decompressing = default;
        ReadOnlySpan<byte> rest = nar.Body;
        while (true)
        {
            var start = Environment.CpuUsage.TotalTime;
            var step = decompressor.Decompress(rest, buffer);
            var middle = Environment.CpuUsage.TotalTime;
            sha.AppendData(rest[..step.Consumed]);
            sha.AppendData(buffer.AsSpan(0, step.Written));
            decompressing += middle - start;
            hashing += Environment.CpuUsage.TotalTime - middle;
            rest = rest[step.Consumed..];
            if (rest.IsEmpty && step.Written < buffer.Length)
            {
                return (hashing.TotalSeconds, decompressing.TotalSeconds);
            }
        }
    }

    /// <summary>The newest SDK of the dotnet that runs this.</summary>
    private static string SdkFolder()
    {
        var dotnet = File.ResolveLinkTarget(Environment.ProcessPath!, returnFinalTarget: true)?.FullName ?? Environment.ProcessPath!;
        return Directory.GetDirectories(Path.Combine(Path.GetDirectoryName(dotnet)!, "sdk")).Order(StringComparer.Ordinal).Last();
    }

    private async Task<string> TreeAsync(Dictionary<string, string?> environment)
    {
        var label = $"bench-{Environment.ProcessId}-{made++}";
        var file = Path.Combine(AppContext.BaseDirectory, "tree.nix");
        var output = await Shell.RunAsync("nix-instantiate", ["--eval", "--read-write-mode", "--strict", file, "--argstr", "label", label], environment);
        return output.Trim().Trim('"');
    }

    /// <summary>A nix of its own beside the machine's: nothing of it is read or changed, but the files of new paths in /nix/store.</summary>
    private Dictionary<string, string?> NixEnvironment()
    {
        string Folder(string name) => Directory.CreateDirectory(Path.Combine(folder, "nix", name)).FullName;
        File.WriteAllText(Path.Combine(Folder("conf"), "nix.conf"), "sandbox = false\nbuild-users-group =\nsubstituters =\nexperimental-features = nix-command\n");
        return new Dictionary<string, string?>
        {
            ["NIX_CONF_DIR"] = Folder("conf"), ["NIX_REMOTE"] = "local", ["NIX_STATE_DIR"] = Folder("var/nix"), ["NIX_LOG_DIR"] = Folder("var/log/nix"),
            ["NIX_LOCALSTATE_DIR"] = Folder("var"), ["HOME"] = Folder("home"), ["XDG_CACHE_HOME"] = Folder("cache"), ["NIX_PATH"] = null,
        };
    }

    /// <summary>nix remembers for hours what a cache has; each push starts knowing nothing.</summary>
    private Dictionary<string, string?> Fresh(Dictionary<string, string?> environment) =>
        new(environment) { ["XDG_CACHE_HOME"] = Directory.CreateDirectory(Path.Combine(folder, "nix", "knows", Guid.NewGuid().ToString("n"))).FullName };
}
