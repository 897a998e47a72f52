namespace Slipway.Bench.Queues;

/// <summary>What is measured. Rows of one kind stand in one table.</summary>
internal enum JobKind
{
    Enqueue,
    Process,
    Memory,
    Latency,

    /// <summary>Jobs of 5 ms, one at a time.</summary>
    Handler,

    /// <summary>A worker without jobs.</summary>
    Idle,

    /// <summary>Three levels, the top one always full.</summary>
    Starvation,

    /// <summary>Minutes at half the speed of the limit.</summary>
    Soak,
}

/// <summary>One configuration in which a system is measured.</summary>
/// <param name="Name">As in the table: single, bulk1000, c50, 2 × c10 …</param>
/// <param name="Arguments">Of the program: the mode of an enqueue, or the concurrency and the variant of a worker.</param>
/// <param name="PerSecond">About how fast it is, so that a run takes the wanted time.</param>
/// <param name="Processes">Workers started side by side.</param>
/// <param name="OnlyFull">Left out of the quick run.</param>
/// <param name="OnlyAof">Measured under this setting of the log only.</param>
/// <param name="AtLeastOnce">In this configuration a worker that is killed loses no job.</param>
internal sealed record JobScenario(JobKind Kind, string Name, string[] Arguments, int PerSecond, int Processes = 1, bool OnlyFull = false, bool AtLeastOnce = true,
    string? OnlyAof = null);

/// <summary>A system under test: its program and how its state in Redis is read.</summary>
/// <param name="Program">The program with its first arguments.</param>
/// <param name="Folder">Where it runs, relative to bench/jobs.</param>
/// <param name="Fill">The mode that fills a queue fastest.</param>
/// <param name="Waiting">Commands whose sum is the number of jobs ready to be processed.</param>
/// <param name="Left">Further commands: with those of <paramref name="Waiting"/> their sum is 0 when every job has been processed and acknowledged.</param>
internal sealed record JobSystem(
    string Name, string[] Program, string Folder, string Fill, string[] Waiting, string[] Left, JobScenario[] Scenarios, bool Ours = false);
