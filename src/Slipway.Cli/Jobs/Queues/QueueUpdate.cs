using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs queue update QUEUE</c></summary>
internal sealed class QueueUpdate() : QueueSettingsVerb("update", "Change what a queue keeps to")
{
    public override string Remarks => "Effective at every worker within 100 ms. Limits by job type have their own verbs: slipway jobs limits.";

    public override IReadOnlyList<string> Examples => ["jobs queue update acme/mail --attempts 12 --max-delay 1h", "jobs queue update acme/mail --order weighted --weights 64,48,32,16,8,4,2,1"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(Queue));
        var before = await run.Client.GetQueueAsync(org, name, cancellationToken);
        var request = new UpdateQueueRequest(DescriptionOf(run), Change(run, before.Value.Settings));
        if (request == new UpdateQueueRequest())
        {
            throw CliFailure.Usage("nothing to change was given", "slipway jobs queue update --help");
        }

        var after = await run.Client.UpdateQueueAsync(org, name, request, before.ETag, cancellationToken);
        run.Write(after, json => json.JobQueue, one => $"{one.Org}/{one.Name}", one => QueueShow.Print(one, run));
        run.Done($"updated {org}/{name}");
        return ExitCodes.Ok;
    }
}
