using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Watching;

/// <summary><c>slipway jobs cancel QUEUE ID</c></summary>
internal sealed class CancelJob : JobVerb
{
    private readonly Argument<string> queue;
    private readonly Argument<string> id;
    private readonly Option<bool> yes;

    public CancelJob()
        : base("cancel", "Cancel a tracked job: waiting it never starts, running its worker is told")
    {
        queue = QueueArgument();
        id = Positional("ID", "Job id, as enqueue printed it");
        yes = YesFlag();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var job = ShowJob.JobId(run.Get(id));
        if (!run.Get(yes))
        {
            var found = await run.Client.GetJobAsync(org, name, job, cancellationToken);
            run.Confirm($"1 job of type {found.Type}, now {found.State}, will be cancelled for good.", "cancel", yes: false);
        }

        var after = await run.Client.CancelJobAsync(org, name, job, cancellationToken);
        run.Write(after, json => json.TrackedJob, one => one.State, one => ShowJob.Print(one, run));
        run.Done(after.State == "cancelled" ? $"cancelled {job}" : $"told the worker of {job}; it is {after.State} until that stops");
        return ExitCodes.Ok;
    }
}
