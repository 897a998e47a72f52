using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs queue show QUEUE</c></summary>
internal sealed class QueueShow : JobVerb
{
    private readonly Argument<string> queue;

    public QueueShow()
        : base("show", "Show a queue's settings")
    {
        queue = QueueArgument();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var found = await run.Client.GetQueueAsync(org, name, cancellationToken);
        run.Write(found.Value, json => json.JobQueue, one => $"{one.Org}/{one.Name}", one => Print(one, run));
        return ExitCodes.Ok;
    }

    public static void Print(JobQueue queue, Invocation run)
    {
        var settings = queue.Settings;
        new Fields()
            .Add("queue", $"{queue.Org}/{queue.Name}")
            .Add("description", queue.Description.Length > 0 ? queue.Description : null)
            .Add("state", settings.Paused ? "paused" : "handing out")
            .Add("order", settings.Weighted ? $"weighted {string.Join(',', settings.Weights)}" : "strict")
            .Add("bounds", $"{Figures.Count(settings.MaxJobs)} jobs, {Figures.Bytes(settings.MaxBytes)}" + (settings.MaxAgeMs > 0 ? $", oldest {Time(settings.MaxAgeMs)}" : ""))
            .Add("retries", string.Create(CultureInfo.InvariantCulture, $"{settings.Retry.MaxAttempts} runs, {Time(settings.Retry.FirstDelayMs)} doubling to {Time(settings.Retry.MaxDelayMs)} between them"))
            .Add("lost leases", string.Create(CultureInfo.InvariantCulture, $"dead after {settings.MaxLostLeases}"))
            .Add("dead letters", $"{Figures.Count(settings.MaxDead)}, then {(settings.DeadOverflow == "pause" ? "the queue pauses" : "the oldest are dropped")}")
            .Add("tracked jobs", $"kept {Time(settings.KeepTrackedMs)} after their end")
            .Add("limits", [.. settings.Types.Select(pair => $"{LimitList.NameOf(pair.Key)}: {LimitList.Words(pair.Value)}")])
            .When("created", queue.CreatedAt, run.Now)
            .Write(run.Terminal);
    }

    private static string Time(long milliseconds) => Quantities.Text(TimeSpan.FromMilliseconds(milliseconds));
}
