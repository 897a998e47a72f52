namespace Slipway.Chaos.Scenarios;

/// <summary>The fault matrix.</summary>
internal static class ScenarioTable
{
    private const string Processes = "processes";
    private const string InProcess = "in-process";

    public static IReadOnlyList<Scenario> All { get; } =
    [
        new("F1", "worker SIGKILL mid-job", true, Processes, WorkerFaults.KilledAsync),
        new("F2", "worker SIGSTOP for longer than its lease", false, Processes, WorkerFaults.StoppedAsync),
        new("F3", "worker SIGTERM under load", true, Processes, WorkerFaults.TerminatedAsync),
        new("F4", "Redis SIGSTOP for longer than a lease", false, Processes, RedisFaults.FrozenAsync),
        new("F5", "Redis SIGTERM and restart, with an append-only file", true, Processes, RedisFaults.RestartedAsync),
        new("F6", "Redis SIGKILL again and again, appendfsync always", true, Processes, RedisFaults.KilledAlwaysAsync),
        new("F6E", "Redis SIGKILL again and again, appendfsync everysec", false, Processes, RedisFaults.KilledEverySecondAsync),
        new("F6N", "Redis SIGKILL again and again, no append-only file", false, Processes, RedisFaults.KilledWithoutFileAsync),
        new("F7", "power loss: the files go back to what was synced", false, Processes, RedisFaults.PowerLossAsync),
        new("F8", "append-only file with a cut tail", true, InProcess, RedisFaults.CutTailAsync),
        new("F9", "network latency 5, 50, 200 ms with jitter", false, Processes, NetworkFaults.SlowAsync),
        new("F10", "connections reset each second", true, Processes, NetworkFaults.ResetAsync),
        new("F10H", "half-open connections", false, Processes, NetworkFaults.HalfOpenAsync),
        new("F10W", "replies blocked, requests go through", false, Processes, NetworkFaults.OneWayAsync),
        new("F11", "reply lost after execution", true, Processes, NetworkFaults.ReplyLostAsync),
        new("F12", "clock skew of an hour, and steps while running", true, InProcess, LinkedJobs.SkewedAsync),
        new("F13", "poison jobs: throw, hang, overflow the stack, exit, die", false, Processes, WorkerFaults.PoisonedAsync),
        new("F14", "entries that cannot be read, unknown types, newer formats", true, InProcess, LoadFaults.UndecodableAsync),
        new("F15", "giant payloads", true, InProcess, LoadFaults.GiantAsync),
        new("F16", "Redis is full (noeviction)", true, InProcess, LoadFaults.FullAsync),
        new("F17", "Redis may evict (allkeys-lru)", true, InProcess, LoadFaults.EvictingAsync),
        new("F18", "more dead letters than are kept", true, InProcess, LoadFaults.DeadOverflowAsync),
        new("F19", "thundering herd of delayed jobs", true, InProcess, LoadFaults.HerdAsync),
        new("F20", "cron: a scheduler gone at the firing second, races, catch-up", false, InProcess, LinkedJobs.CronAsync),
        new("F21", "holder of a unique key killed", true, Processes, LinkedJobs.UniqueAsync),
        new("F22", "batch whose workers are killed", false, Processes, LinkedJobs.BatchAsync),
        new("F23", "SCRIPT FLUSH and FUNCTION FLUSH while pipelining", true, Processes, ReplyFaults.FlushedAsync),
        new("F24", "READONLY, LOADING, BUSY and MISCONF replies", true, InProcess, ReplyFaults.RefusedAsync),
        new("F25", "wake-up lost", true, Processes, NetworkFaults.WakeUpLostAsync),
        new("F26", "soak with kills and resets", false, Processes, Soak.RunAsync),
        new("F27", "level 0 never empty", false, Processes, LoadFaults.StarvedAsync),
        new("F28", "administration under load", false, Processes, LoadFaults.AdministeredAsync),
        new("MILLION", "1,000,000 jobs through 4 workers, one killed every 5 s", false, Processes, WorkerFaults.MillionAsync),
    ];
}
