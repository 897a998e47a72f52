using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs queue create QUEUE</c></summary>
internal sealed class QueueCreate() : QueueSettingsVerb("create", "Create a work queue")
{
    public override IReadOnlyList<string> Examples =>
        ["jobs queue create acme/mail", "jobs queue create acme/video --attempts 3 --max-jobs 50000 --dead-overflow drop-oldest"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(Queue));
        var created = await run.Client.CreateQueueAsync(org, new CreateQueueRequest(name, DescriptionOf(run), Change(run, now: null)), cancellationToken);
        run.Write(created, json => json.JobQueue, one => $"{one.Org}/{one.Name}", one => QueueShow.Print(one, run));
        run.Done($"created queue {org}/{name}");
        run.Next($"slipway jobs enqueue {org}/{name} --type hello '{{\"to\":\"world\"}}'", "adds a job");
        run.Next($"slipway jobs work {org}/{name} --exec 'echo {{}}' --verbose", "runs a command for each job");
        run.Next($"slipway jobs stats {org}/{name} --watch", "shows what happens");
        return ExitCodes.Ok;
    }
}
