using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Schedules;

/// <summary><c>slipway jobs cron delete QUEUE NAME</c></summary>
internal sealed class CronDelete : JobVerb
{
    private readonly Argument<string> queue;
    private readonly Argument<string> name;
    private readonly Option<bool> yes;

    public CronDelete()
        : base("delete", "Delete a schedule; jobs it enqueued stay")
    {
        queue = QueueArgument();
        name = Positional("NAME", "Of the schedule");
        yes = YesFlag();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, queueName) = run.Queue(run.Get(queue));
        var found = await run.Client.GetScheduleAsync(org, queueName, run.Get(name), cancellationToken);
        run.Confirm($"1 schedule, {found.Value.Name} ({found.Value.Cron}) of {org}/{queueName}, will be gone for good.", found.Value.Name, run.Get(yes));
        await run.Client.DeleteScheduleAsync(org, queueName, run.Get(name), found.ETag, cancellationToken);
        run.Done($"deleted schedule {run.Get(name)} of {org}/{queueName}");
        return ExitCodes.Ok;
    }
}
