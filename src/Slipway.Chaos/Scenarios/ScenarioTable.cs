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
        new("F25", "wake-up lost", true, Processes, NetworkFaults.WakeUpLostAsync),
        new("F13", "poison jobs: throw, hang, overflow the stack, exit, die", false, Processes, WorkerFaults.PoisonedAsync),
        new("MILLION", "1,000,000 jobs through 4 workers, one killed every 5 s", false, Processes, WorkerFaults.MillionAsync),
    ];
}
