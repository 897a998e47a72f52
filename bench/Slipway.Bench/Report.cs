using System.Globalization;
using System.Text;

namespace Slipway.Bench;

/// <summary>The results as Markdown, which reads as a table in a terminal too.</summary>
internal static class Report
{
    public static string Of(IReadOnlyList<ReadResult> reads, IReadOnlyList<SmallPushResult> small, LargePushResult? large, int runs)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-dd}, {Processor()}, {Environment.ProcessorCount} cores, load {Load()}; medians of {runs}; noise = (highest − lowest) / median.\n");
        if (reads.Count > 0)
        {
            text.Append("\n| read | ours, CPU/request | nginx | ratio | aim | ours, requests/s | nginx | ours, MB per CPU s | nginx | noise |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
            foreach (var read in reads)
            {
                text.Append(CultureInfo.InvariantCulture,
                    $"| {read.Name} | {Micros(read.Ours)} | {Micros(read.Nginx)} | **{read.Ratio:F2}** | ≤ {read.Aim} | {read.Ours.RequestsPerSecond:N0} | {read.Nginx.RequestsPerSecond:N0} | {read.Ours.BytesPerCpuSecond / 1e6:N0} | {read.Nginx.BytesPerCpuSecond / 1e6:N0} | {read.Noise:P0} |\n");
            }
        }

        if (small.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n| push of {small[0].Paths:N0} small paths | wall | server CPU/path | PostgreSQL | Redis | noise |\n|---|--:|--:|--:|--:|--:|\n");
            foreach (var push in small)
            {
                string PerPath(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds / push.Paths * 1e6:N0} µs");
                text.Append(CultureInfo.InvariantCulture, $"| {push.Name} | {push.Cost.Wall:F1} s | {PerPath(push.Cost.Server)} | {PerPath(push.Cost.Postgres)} | {PerPath(push.Cost.Redis)} | {push.Noise:P0} |\n");
            }
        }

        if (large is not null)
        {
            var (nar, bound) = (large.NarBytes / 1e6, large.HashSeconds + large.DecompressSeconds);
            text.Append(CultureInfo.InvariantCulture, $"\n| push of one path, {nar:N0} MB NAR, {large.FileBytes / 1e6:N0} MB zstd | CPU | NAR MB per CPU s |\n|---|--:|--:|\n");
            void Row(string name, double seconds) => text.Append(CultureInfo.InvariantCulture, $"| {name} | {seconds:F2} s | {nar / seconds:N0} |\n");
            Row(string.Create(CultureInfo.InvariantCulture, $"server ({large.Cost.Wall:F1} s wall, at most {large.PeakMemory / 1e6:N0} MB of memory, noise {large.Noise:P0})"), large.Cost.Server);
            Row("SHA-256 alone, file and NAR", large.HashSeconds);
            Row("zstd decompression alone", large.DecompressSeconds);
            Row(string.Create(CultureInfo.InvariantCulture, $"both: the bound. The server reaches **{large.OfBound:P0}** of it (aim: ≥ 70 %)"), bound);
            Row("PostgreSQL", large.Cost.Postgres);
            Row("nginx (stores, checks nothing)", large.NginxSeconds);
        }

        return text.ToString();
    }

    private static string Micros(Served served) => string.Create(CultureInfo.InvariantCulture, $"{served.CpuPerRequest * 1e6:N1} µs");

    public static string Processor() =>
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown processor";

    public static string Load() => File.ReadAllText("/proc/loadavg").Split(' ')[0];
}
