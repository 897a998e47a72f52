using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs pause QUEUE</c> and <c>slipway jobs resume QUEUE</c></summary>
internal sealed class PauseJobs : JobVerb
{
    private readonly bool pause;
    private readonly Argument<string> queue;
    private readonly Option<string?> type;

    private PauseJobs(bool pause, string name, string summary)
        : base(name, summary)
    {
        this.pause = pause;
        queue = QueueArgument();
        type = TypeFilter("This job type only");
    }

    public static PauseJobs Pause() => new(pause: true, "pause", "Hand out no more jobs; enqueues go on, running jobs end");

    public static PauseJobs Resume() => new(pause: false, "resume", "Hand out jobs again");

    public override string? Remarks => pause ? "Effective within 100 ms at every worker." : null;

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var after = pause
            ? await run.Client.PauseQueueAsync(org, name, run.Get(type), cancellationToken)
            : await run.Client.ResumeQueueAsync(org, name, run.Get(type), cancellationToken);
        // A script that pauses wants an exit code, not settings.
        if (run.Json || run.Quiet)
        {
            run.Write(after, json => json.JobQueue, one => $"{one.Org}/{one.Name}", _ => { });
        }

        run.Done($"{(pause ? "paused" : "resumed")} {org}/{name}{(run.Get(type) is { } word ? $" type {word}" : "")}");
        if (pause)
        {
            run.Next($"slipway jobs resume {org}/{name}{(run.Get(type) is { } again ? $" --type {again}" : "")}", "hands out again");
        }

        return ExitCodes.Ok;
    }
}
