using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary><c>slipway jobs workers QUEUE</c></summary>
internal sealed class ListWorkers : JobVerb
{
    private readonly Argument<string> queue;

    public ListWorkers()
        : base("workers", "List who works on a queue")
    {
        queue = QueueArgument();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        await run.WriteListAsync(
            run.Client.ListQueueWorkersAsync(org, name, cancellationToken),
            json => json.PageJobWorker,
            worker => worker.Name,
            new Table<JobWorker>()
                .Add("WORKER", worker => worker.Name)
                .When("SEEN", worker => worker.SeenAt, run.Now)
                .Add("ABOUT", worker => worker.About),
            $"nobody works on {org}/{name}: slipway jobs work {org}/{name} --exec COMMAND");
        return ExitCodes.Ok;
    }
}
