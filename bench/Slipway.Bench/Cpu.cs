using System.Globalization;

namespace Slipway.Bench;

/// <summary>CPU time used by processes, user and kernel, as /proc tells it (in ticks of 10 ms).</summary>
internal static class Cpu
{
    /// <summary>Linux has shown processes 100 ticks a second since 2.6, whatever the kernel uses inside.</summary>
    private const double TicksPerSecond = 100;

    /// <summary>Seconds used so far by one process, all its threads.</summary>
    public static double Of(int pid) => Read(pid) is { } stat ? stat.Own / TicksPerSecond : 0;

    /// <summary>Seconds used so far by a process and all below it, those that have ended included.</summary>
    public static double OfTree(int root)
    {
        var all = Directory.EnumerateDirectories("/proc")
            .Select(folder => int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? Read(pid) : null)
            .OfType<Stat>()
            .ToDictionary(stat => stat.Pid);
        bool Below(Stat stat) => stat.Pid == root || (all.TryGetValue(stat.Parent, out var parent) && Below(parent));
        // A process that ended is in its parent's sum of children.
        return all.Values.Where(Below).Sum(stat => stat.Own + stat.Children) / TicksPerSecond;
    }

    /// <summary>Seconds used so far by everything on the machine, what the hypervisor gave to others included.</summary>
    public static double OfMachine()
    {
        // cpu user nice system idle iowait irq softirq steal …
        var fields = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return ((int[])[1, 2, 3, 6, 7, 8]).Sum(field => double.Parse(fields[field], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }

    /// <summary>Forgets the peak, so that <see cref="PeakMemory"/> is that of what comes now.</summary>
    public static void ResetPeakMemory(int pid) => File.WriteAllText($"/proc/{pid}/clear_refs", "5");

    public static long PeakMemory(int pid)
    {
        var line = File.ReadLines($"/proc/{pid}/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
    }

    private static Stat? Read(int pid)
    {
        try
        {
            // The name in parentheses may hold spaces: count from the last ')'.
            var text = File.ReadAllText($"/proc/{pid}/stat");
            var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            long Field(int number) => long.Parse(fields[number - 3], CultureInfo.InvariantCulture);
            return new Stat(pid, (int)Field(4), Field(14) + Field(15), Field(16) + Field(17));
        }
        catch (IOException)
        {
            return null;
        }
    }

    private sealed record Stat(int Pid, int Parent, long Own, long Children);
}
