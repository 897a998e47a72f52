using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs limits list QUEUE</c></summary>
internal sealed class LimitList : JobVerb
{
    /// <summary>The empty type is the whole queue; on a command line it has this name.</summary>
    public const string WholeQueue = "*";

    private readonly Argument<string> queue;

    public LimitList()
        : base("list", "List a queue's limits, and how they stand")
    {
        queue = QueueArgument();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var stats = await run.Client.GetQueueStatsAsync(org, name, cancellationToken);
        if (run.Json)
        {
            run.Out.WriteLine(JsonSerializer.Serialize(stats.Types, JobsJson.Indented.IReadOnlyListJobTypeStats));
        }
        else if (run.Quiet)
        {
            foreach (var type in stats.Types)
            {
                run.Out.WriteLine(NameOf(type.Type));
            }
        }
        else if (stats.Types.Count > 0)
        {
            Table().Write(stats.Types, run.Terminal);
        }
        else if (run.Environment.OutIsTerminal)
        {
            run.Terminal.Say($"{org}/{name} has no limits: slipway jobs limits set {org}/{name} TYPE --rate 10/s");
        }

        return ExitCodes.Ok;
    }

    public static string NameOf(string type) => type.Length == 0 ? WholeQueue : type;

    public static string Words(JobTypeLimits limits)
    {
        List<string> words = [];
        if (limits.Paused)
        {
            words.Add("paused");
        }

        if (limits.Concurrency > 0)
        {
            words.Add(string.Create(CultureInfo.InvariantCulture, $"{limits.Concurrency} at once"));
        }

        if (limits.Rate > 0)
        {
            words.Add(string.Create(CultureInfo.InvariantCulture, $"{limits.Rate:0.###}/s") + (limits.Burst > 0 ? string.Create(CultureInfo.InvariantCulture, $" (burst {limits.Burst:0.###})") : ""));
        }

        if (limits.BreakAfter > 0)
        {
            words.Add(string.Create(CultureInfo.InvariantCulture, $"breaks after {limits.BreakAfter} failures for {Quantities.Text(TimeSpan.FromMilliseconds(limits.BreakForMs))}"));
        }

        return words.Count == 0 ? "none" : string.Join(", ", words);
    }

    private static Table<JobTypeStats> Table() => new Table<JobTypeStats>()
        .Add("TYPE", type => NameOf(type.Type))
        .Add("LIMITS", type => Words(type.Limits))
        .Number("RUNNING", type => Figures.Count(type.Running), type => type.Running.ToString(CultureInfo.InvariantCulture))
        .Number("HELD", type => Figures.Count(type.Held), type => type.Held.ToString(CultureInfo.InvariantCulture))
        .Add("BREAKER", type => type.Breaker);
}
