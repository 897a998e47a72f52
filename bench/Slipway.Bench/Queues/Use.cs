namespace Slipway.Bench.Queues;

/// <summary>What a part of a run used, from its making to <see cref="End"/>.</summary>
internal sealed class Use(PrivateRedis redis)
{
    private readonly RedisSample before = redis.Probe.Sample();
    private readonly double programs = CpuOfPrograms(redis);
    private readonly ForeignCpu foreign = new();

    public RedisSample After { get; private set; } = new(0, 0, 0);

    /// <summary>0 … 1 of all cores.</summary>
    public double Foreign { get; private set; }

    /// <summary>CPU time of the systems' processes, µs; ended ones included, to 10 ms.</summary>
    public double ProgramMicros { get; private set; }

    public double RedisMicros => (After.CpuSeconds - before.CpuSeconds) * 1e6;

    public double Commands => After.Commands - before.Commands;

    public void End() => (Foreign, After, ProgramMicros) = (foreign.Share(), redis.Probe.Sample(), (CpuOfPrograms(redis) - programs) * 1e6);

    /// <summary>All we started, less Redis and ourselves.</summary>
    private static double CpuOfPrograms(PrivateRedis redis) => Cpu.OfTree(Environment.ProcessId) - Cpu.Of(Environment.ProcessId) - Cpu.Of(redis.Pid);
}
