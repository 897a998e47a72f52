using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs queue delete QUEUE</c></summary>
internal sealed class QueueDelete : JobVerb
{
    private readonly Argument<string> queue;
    private readonly Option<bool> force;
    private readonly Option<bool> yes;

    public QueueDelete()
        : base("delete", "Delete a queue with all its jobs")
    {
        queue = QueueArgument();
        force = Flag("--force", "Also while it has jobs or workers");
        yes = YesFlag();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var found = await run.Client.GetQueueAsync(org, name, cancellationToken);
        if (!run.Get(yes))
        {
            var stats = await run.Client.GetQueueStatsAsync(org, name, cancellationToken);
            var jobs = stats.ReadyTotal + stats.Delayed + stats.Leased + stats.Waiting;
            run.Confirm(
                $"{org}/{name} with {Figures.Count(jobs, "job")}, {Figures.Count(stats.Dead, "dead letter")}, its schedules and settings will be gone for good"
                + (stats.Workers.Count > 0 ? $"; {Figures.Count(stats.Workers.Count, "worker")} at it now." : "."),
                $"{org}/{name}",
                yes: false);
        }

        await run.Client.DeleteQueueAsync(org, name, run.Get(force), found.ETag, cancellationToken);
        run.Done($"deleted queue {org}/{name}");
        return ExitCodes.Ok;
    }
}
