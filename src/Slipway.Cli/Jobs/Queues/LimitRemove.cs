using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs limits remove QUEUE TYPE</c></summary>
internal sealed class LimitRemove : JobVerb
{
    private readonly Argument<string> queue;
    private readonly Argument<string> type;

    public LimitRemove()
        : base("remove", "Take all limits from a job type")
    {
        queue = QueueArgument();
        type = Positional("TYPE", $"Job type, or '{LimitList.WholeQueue}' for the whole queue");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var key = run.Get(type) is LimitList.WholeQueue ? "" : run.Get(type);
        var before = await run.Client.GetQueueAsync(org, name, cancellationToken);
        if (!before.Value.Settings.Types.ContainsKey(key))
        {
            throw new CliFailure(ExitCodes.NotFound, "not_found", $"{org}/{name} has no limits for {LimitList.NameOf(key)}") { Try = [$"slipway jobs limits list {org}/{name}"] };
        }

        var change = new JobQueueSettingsChange(Types: new Dictionary<string, JobTypeLimits?> { [key] = null });
        var after = await run.Client.UpdateQueueAsync(org, name, new UpdateQueueRequest(Settings: change), before.ETag, cancellationToken);
        run.Write(after, json => json.JobQueue, one => $"{one.Org}/{one.Name}", one => QueueShow.Print(one, run));
        run.Done($"removed the limits of {LimitList.NameOf(key)} from {org}/{name}");
        return ExitCodes.Ok;
    }
}
