namespace Slipway.Bench.Queues;

/// <summary>The systems under test. Why each is configured so is in bench/jobs/README.md.</summary>
internal static class JobSystems
{
    private const string OurKeys = "{slipway:q:bench}:2:";

    public static IReadOnlyList<JobSystem> All { get; } =
    [
        new("slipway", ["dotnet", "../../../artifacts/publish/bench-jobs/Slipway.Bench.Jobs.dll"], "Slipway.Bench.Jobs", "bulk",
            [$"LLEN {OurKeys}ready:3"],
            [
                .. Enumerable.Range(0, 8).Where(level => level != 3).Select(level => $"LLEN {OurKeys}ready:{level}"), $"ZCARD {OurKeys}delayed",
                $"ZCARD {OurKeys}leases", $"HLEN {OurKeys}blocks", $"HLEN {OurKeys}acked", $"XLEN {OurKeys}dead",
            ],
            [
                Enqueue("single", 8_000),
                Enqueue("inflight50", 120_000),
                Enqueue("bulk", 300_000),
                new(JobKind.Enqueue, "inflight1000, fsync", ["--mode", "inflight1000", "--durability", "fsync"], 120_000, OnlyAof: "always"),
                Work("c10", 10, 200_000, onlyFull: true),
                Work("c50", 50, 200_000),
                Work("c100", 100, 200_000, onlyFull: true),
                Work("2 × c50", 50, 250_000, processes: 2),
                Memory("bulk"),
                Latency("c50", 50),
                new(JobKind.Handler, "1 at a time", ["--concurrency", "1", "--variant", "5ms"], 0),
                Idle("c50", 50),
                new(JobKind.Starvation, "c10, 1 ms", ["--concurrency", "10"], 0),
                new(JobKind.Soak, "half speed", ["--concurrency", "50"], 0),
            ],
            Ours: true),
        new("sidekiq", ["/usr/bin/ruby", "sidekiq_program.rb"], "peers/sidekiq", "bulk",
            ["LLEN queue:bench"],
            ["ZCARD retry", "ZCARD schedule", "ZCARD dead"],
            [
                Enqueue("single", 6_000, atLeastOnce: false),
                Enqueue("inflight50", 6_000, atLeastOnce: false, onlyFull: true),
                Enqueue("bulk", 50_000, atLeastOnce: false),
                Work("c10", 10, 6_000, atLeastOnce: false),
                Work("c50", 50, 5_000, atLeastOnce: false, onlyFull: true),
                Work("c100", 100, 5_000, atLeastOnce: false, onlyFull: true),
                Work("2 × c10", 10, 9_000, atLeastOnce: false, processes: 2),
                Memory("bulk", atLeastOnce: false),
                Latency("c10", 10, atLeastOnce: false),
                Idle("c10", 10, atLeastOnce: false),
            ]),
        new("bullmq", ["node", "bullmq_program.js"], "peers/bullmq", "bulk",
            ["LLEN bull:bench:wait"],
            ["LLEN bull:bench:active", "ZCARD bull:bench:delayed", "ZCARD bull:bench:prioritized", "ZCARD bull:bench:failed", "ZCARD bull:bench:completed"],
            [
                Enqueue("single", 4_000),
                Enqueue("inflight50", 12_000),
                Enqueue("bulk", 12_000),
                Work("c10", 10, 7_000, onlyFull: true),
                Work("c50", 50, 8_000),
                Work("c100", 100, 8_000, onlyFull: true),
                Work("2 × c50", 50, 8_000, processes: 2, onlyFull: true),
                Memory("bulk"),
                Latency("c50", 50),
                Idle("c50", 50),
            ]),
        new("rq", ["/usr/bin/python3", "rq_program.py"], "peers/python", "bulk",
            ["LLEN rq:queue:bench"],
            ["ZCARD rq:wip:bench", "ZCARD rq:failed:bench", "ZCARD rq:scheduled:bench", "ZCARD rq:deferred:bench"],
            [
                Enqueue("single", 3_000, atLeastOnce: false),
                Enqueue("inflight50", 2_500, atLeastOnce: false, onlyFull: true),
                Enqueue("bulk", 7_500, atLeastOnce: false),
                Work("2 processes", 2, 750, atLeastOnce: false),
                Work("10 processes", 10, 600, atLeastOnce: false, onlyFull: true),
                Work("10 forking", 10, 150, atLeastOnce: false, variant: "fork", onlyFull: true),
                Memory("bulk", atLeastOnce: false),
                Latency("2 processes", 2, atLeastOnce: false),
                Idle("1 process", 1, atLeastOnce: false),
            ]),
        new("celery", ["/usr/bin/python3", "celery_program.py"], "peers/python", "single",
            ["LLEN bench"],
            ["HLEN unacked", "ZCARD unacked_index"],
            [
                Enqueue("single", 1_800),
                Enqueue("inflight50", 800, onlyFull: true),
                Work("2 forked", 2, 900, atLeastOnce: false, variant: "prefork", onlyFull: true),
                Work("10 forked", 10, 900, atLeastOnce: false, variant: "prefork"),
                Work("10 forked, acks late", 10, 700, variant: "prefork-late"),
                Work("10 threads", 10, 550, atLeastOnce: false, variant: "threads", onlyFull: true),
                Work("50 threads", 50, 550, atLeastOnce: false, variant: "threads", onlyFull: true),
                Work("100 threads", 100, 550, atLeastOnce: false, variant: "threads", onlyFull: true),
                Memory("single"),
                Latency("2 forked", 2, atLeastOnce: false, variant: "prefork"),
                Latency("2 forked, acks late", 2, variant: "prefork-late", onlyFull: true),
                Idle("2 forked", 2, atLeastOnce: false, variant: "prefork"),
            ]),
    ];

    private static JobScenario Enqueue(string mode, int perSecond, bool onlyFull = false, bool atLeastOnce = true) =>
        new(JobKind.Enqueue, mode, ["--mode", mode], perSecond, OnlyFull: onlyFull, AtLeastOnce: atLeastOnce);

    private static JobScenario Work(string name, int concurrency, int perSecond, int processes = 1, string variant = "", bool onlyFull = false, bool atLeastOnce = true) =>
        new(JobKind.Process, name, ["--concurrency", $"{concurrency}", "--variant", variant], perSecond, processes, onlyFull, atLeastOnce);

    private static JobScenario Memory(string mode, bool atLeastOnce = true) =>
        new(JobKind.Memory, "50,000 waiting", ["--mode", mode], 0, AtLeastOnce: atLeastOnce);

    private static JobScenario Latency(string name, int concurrency, string variant = "", bool onlyFull = false, bool atLeastOnce = true) =>
        new(JobKind.Latency, name, ["--concurrency", $"{concurrency}", "--variant", variant], 0, OnlyFull: onlyFull, AtLeastOnce: atLeastOnce);

    /// <summary>Of the peers only in a full run: it takes twenty seconds.</summary>
    private static JobScenario Idle(string name, int concurrency, string variant = "", bool atLeastOnce = true) =>
        new(JobKind.Idle, name, ["--concurrency", $"{concurrency}", "--variant", variant], 0, AtLeastOnce: atLeastOnce);
}
