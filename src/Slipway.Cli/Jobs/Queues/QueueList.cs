using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs queue list</c></summary>
internal sealed class QueueList : JobVerb
{
    private readonly Option<string?> org;

    public QueueList()
        : base("list", "List the queues of an org")
    {
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListQueuesAsync(run.Org(org), cancellationToken),
            json => json.PageJobQueue,
            queue => $"{queue.Org}/{queue.Name}",
            new Table<JobQueue>()
                .Add("QUEUE", queue => $"{queue.Org}/{queue.Name}")
                .Add("STATE", queue => queue.Settings.Paused ? "paused" : "handing out")
                .Number("MOST JOBS", queue => Figures.Count(queue.Settings.MaxJobs), queue => queue.Settings.MaxJobs.ToString(CultureInfo.InvariantCulture))
                .Number("MOST BYTES", queue => Figures.Bytes(queue.Settings.MaxBytes), queue => queue.Settings.MaxBytes.ToString(CultureInfo.InvariantCulture))
                .Number("ATTEMPTS", queue => queue.Settings.Retry.MaxAttempts.ToString(CultureInfo.InvariantCulture), queue => queue.Settings.Retry.MaxAttempts.ToString(CultureInfo.InvariantCulture))
                .Add("DESCRIPTION", queue => queue.Description),
            "no queues yet: slipway jobs queue create NAME");
        return ExitCodes.Ok;
    }
}
