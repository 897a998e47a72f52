using System.Globalization;
using System.Text;

namespace Slipway.Bench;

/// <summary>What one run of load cost the process that served it.</summary>
internal sealed record Served(double RequestsPerSecond, double CpuPerRequest, double BytesPerCpuSecond);

/// <summary>One line of the table of reads: the medians of both sides.</summary>
internal sealed record ReadResult(string Name, double Aim, Served Ours, Served Nginx, double Noise)
{
    public double Ratio => Ours.CpuPerRequest / Nginx.CpuPerRequest;
}

/// <summary>
/// Loads both servers with the same paths in turns (ours, nginx, ours, nginx …), so that what else happens on the machine hits both.
/// </summary>
internal sealed class Reads(BenchedServer server, Nginx nginx, string folder, int runs, int seconds)
{
    private const int Connections = 16;
    private const int NarInfos = 2000;
    private const int SmallNars = 200;
    private const int LargeNars = 3;

    private readonly Random random = new(1);

    public async Task<IReadOnlyList<ReadResult>> MeasureAsync(Func<string, bool> wanted)
    {
        var cache = await server.CreateCacheAsync("open");
        var closed = await server.CreateCacheAsync("closed", isPublic: false);
        var results = new List<ReadResult>();
        List<string> hits = [];
        if (wanted("hit") || wanted("miss"))
        {
            hits = await FillAsync([cache, closed], NarInfos, bytes: 200);
        }

        if (wanted("hit"))
        {
            results.Add(await CompareAsync("narinfo hit", 2, cache, hits));
            results.Add(await CompareAsync("narinfo hit, private cache", 2, closed, hits, "Bearer " + server.Key));
        }

        if (wanted("miss"))
        {
            var misses = Enumerable.Range(0, NarInfos).Select(_ => Nars.RandomHash(random) + ".narinfo").ToList();
            results.Add(await CompareAsync("narinfo miss", 2, cache, misses, missing: true));
        }

        if (wanted("download"))
        {
            // Paths are those of the narinfos; the NARs lie beside them.
            var small = await FillAsync([cache], SmallNars, bytes: 64 << 10, listNars: true);
            results.Add(await CompareAsync("NAR of 64 kB", 3, cache, small));
            var large = await FillAsync([cache], LargeNars, bytes: 100 << 20, listNars: true);
            results.Add(await CompareAsync("NAR of 100 MB", 3, cache, large));
        }

        return results;
    }

    /// <summary>Pushes NARs of random bytes and puts what the server then serves before nginx as files.</summary>
    private async Task<List<string>> FillAsync(IReadOnlyList<string> caches, int count, int bytes, bool listNars = false)
    {
        var paths = new List<string>();
        for (var made = 0; made < count; made++)
        {
            var nar = Nars.Random(bytes, random);
            foreach (var cache in caches)
            {
                await Nars.PutAsync(server.Http, cache, nar);
                var narInfo = await server.Http.GetByteArrayAsync(new Uri(cache + nar.Hash + ".narinfo", UriKind.Relative));
                var files = nginx.Files + cache;
                Directory.CreateDirectory(files + "nar");
                File.WriteAllBytes(files + nar.Hash + ".narinfo", narInfo);
                File.WriteAllBytes(files + nar.Path, nar.Body);
            }

            paths.Add(listNars ? nar.Path : nar.Hash + ".narinfo");
        }

        return paths;
    }

    private async Task<ReadResult> CompareAsync(string name, double aim, string cache, List<string> files, string? authorization = null, bool missing = false)
    {
        var list = Path.Combine(folder, "paths");
        await File.WriteAllLinesAsync(list, files.Select(file => cache + file), new UTF8Encoding(false));
        Task<Served> Ours(int time) => LoadAsync(server.Url, list, authorization, missing, time, () => Cpu.Of(server.Pid));
        Task<Served> Theirs(int time) => LoadAsync(nginx.Url, list, authorization, missing, time, () => Cpu.OfTree(nginx.Pid));

        // Time for the second tier of the JIT, and for the page cache.
        await Ours(Math.Max(3, seconds));
        await Theirs(1);
        var ours = new List<Served>();
        var theirs = new List<Served>();
        for (var run = 0; run < runs; run++)
        {
            ours.Add(await Ours(seconds));
            theirs.Add(await Theirs(seconds));
        }

        var result = new ReadResult(name, aim, Median(ours), Median(theirs), Math.Max(Stats.Spread(ours.Select(run => run.CpuPerRequest)), Stats.Spread(theirs.Select(run => run.CpuPerRequest))));
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name}: {result.Ours.CpuPerRequest * 1e6:F1} µs against {result.Nginx.CpuPerRequest * 1e6:F1} µs, ×{result.Ratio:F2}"));
        return result;
    }

    private static async Task<Served> LoadAsync(Uri url, string list, string? authorization, bool missing, int seconds, Func<double> cpu)
    {
        var script = Path.Combine(AppContext.BaseDirectory, "paths.lua");
        string[] credential = authorization is null ? [] : [authorization];
        var before = cpu();
        var output = await Shell.RunAsync("wrk", ["-t1", $"-c{Connections}", $"-d{seconds}s", "--timeout", "30s", "-s", script, url.ToString(), "--", list, .. credential]);
        var used = cpu() - before;
        var result = output[output.IndexOf("RESULT", StringComparison.Ordinal)..].Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        double Number(int at) => double.Parse(result[at], CultureInfo.InvariantCulture);
        var (requests, bytes, duration, refused, broken) = (Number(1), Number(2), Number(3) / 1e6, Number(4), Number(5));
        if (broken > 0 || refused != (missing ? requests : 0))
        {
            throw new InvalidOperationException($"The load on {url} was not answered as it should be: {output}");
        }

        // Downloads that the end of the load cut off are in the bytes and not in the requests.
        if (bytes / Math.Max(requests, 1) > 1 << 20)
        {
            requests = bytes / (100 << 20);
        }

        return new Served(requests / duration, used / requests, bytes / used);
    }

    private static Served Median(List<Served> runs) => new(
        Stats.Median(runs.Select(run => run.RequestsPerSecond)), Stats.Median(runs.Select(run => run.CpuPerRequest)), Stats.Median(runs.Select(run => run.BytesPerCpuSecond)));
}

internal static class Stats
{
    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted.Count % 2 == 1 ? sorted[sorted.Count / 2] : (sorted[(sorted.Count / 2) - 1] + sorted[sorted.Count / 2]) / 2;
    }

    /// <summary>(highest − lowest) / median.</summary>
    public static double Spread(IEnumerable<double> values)
    {
        var all = values.ToList();
        return (all.Max() - all.Min()) / Median(all);
    }
}
