using System.Diagnostics;

namespace Slipway.Bench.Queues;

/// <summary>Measures what share of the machine others used while we measured.</summary>
internal sealed class ForeignCpu
{
    private readonly long start = Stopwatch.GetTimestamp();
    private readonly double machine = Cpu.OfMachine();
    private readonly double own = Cpu.OfTree(Environment.ProcessId);

    /// <summary>0 … 1 of all cores, since this was made.</summary>
    public double Share()
    {
        var foreign = Cpu.OfMachine() - machine - (Cpu.OfTree(Environment.ProcessId) - own);
        return Math.Clamp(foreign / (Stopwatch.GetElapsedTime(start).TotalSeconds * Environment.ProcessorCount), 0, 1);
    }
}
