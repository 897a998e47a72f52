using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Chaos;

/// <summary><c>slipway jobs chaos</c>: the fault matrix of the queue. A program of its own does it, because it holds the queue itself.</summary>
internal sealed class RunChaos : Verb
{
    private readonly Option<string?> only;
    private readonly Option<bool> quick;
    private readonly Option<bool> list;
    private readonly Option<int?> seconds;
    private readonly Option<int?> jobs;
    private readonly Option<int?> seed;
    private readonly Option<string?> results;
    private readonly Option<string?> report;
    private readonly Option<string?> redis;

    public RunChaos()
        : base("chaos", "Kill, stop, cut and fill everything around a queue, and account for every job")
    {
        only = Text("--only", "F1,F6", "These scenarios; MILLION: a million jobs, a worker killed every 5 s");
        quick = Flag("--quick", "The quick half of the matrix, with shorter faults: about 100 s");
        list = Flag("--list", "Show the scenarios, run none");
        seconds = Number("--seconds", "N", "Length of the soak F26 (600 unless given)", 1, 86_400);
        jobs = Number("--jobs", "N", "Jobs of MILLION (1000000 unless given)", 1, 100_000_000);
        seed = Number("--seed", "N", "Seed of all random choices, to repeat a run", 1, int.MaxValue);
        results = Text("--results", "FILE", "Write the results as JSON (--json prints them)");
        report = Text("--report", "FILE", "Write a report in Markdown");
        redis = Text("--redis-server", "PATH", "The redis-server or valkey-server to start");
    }

    public override IReadOnlyList<string> Examples => ["jobs chaos --quick", "jobs chaos --only F1,F6", "jobs chaos --report docs/chaos-report.md"];

    public override string Remarks => "Starts redis-servers, workers and producers of its own in temporary folders, and touches nothing else. Needs no server.";

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(Program());
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));
        void Pass(string name, object? value)
        {
            if (value is not null)
            {
                start.ArgumentList.Add(name);
                start.ArgumentList.Add(Convert.ToString(value, CultureInfo.InvariantCulture)!);
            }
        }

        Pass("--only", run.Get(only));
        Pass("--seconds", run.Get(seconds));
        Pass("--jobs", run.Get(jobs));
        Pass("--seed", run.Get(seed));
        Pass("--report", run.Get(report));
        Pass("--redis-server", run.Get(redis));
        Pass("--json", run.Json ? "-" : run.Get(results));
        foreach (var (flag, option) in ((string, Option<bool>)[])[("--quick", quick), ("--list", list)])
        {
            if (run.Get(option))
            {
                start.ArgumentList.Add(flag);
            }
        }

        run.Environment.Flush();
        using var program = Process.Start(start)!;
        // Ctrl-C reaches it from the terminal as it reaches us: it ends what it started and then itself.
        await program.WaitForExitAsync(CancellationToken.None);
        return program.ExitCode;
    }

    /// <summary>Published it lies beside the CLI's folder; in a build, in a folder of its own.</summary>
    private static string Program()
    {
        string[] places = ["../chaos/Slipway.Chaos", "../../Slipway.Chaos/debug/Slipway.Chaos", "../../Slipway.Chaos/release/Slipway.Chaos"];
        return places.Select(place => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, place))).FirstOrDefault(File.Exists)
            ?? throw new CliFailure(ExitCodes.Failed, "chaos_missing", "the chaos program is not installed beside this one")
            {
                Cause = "it is built from a checkout only",
                Try = ["./slipway jobs chaos"],
            };
    }
}
