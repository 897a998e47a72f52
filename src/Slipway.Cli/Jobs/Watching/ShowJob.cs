using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary><c>slipway jobs status QUEUE ID</c></summary>
internal sealed class ShowJob : JobVerb
{
    /// <summary>Long enough not to be a load, short enough for a person.</summary>
    private static readonly TimeSpan AskEvery = TimeSpan.FromSeconds(1);

    private readonly Argument<string> queue;
    private readonly Argument<string> id;
    private readonly Option<TimeSpan?> wait;

    public ShowJob()
        : base("status", "Show what is known of a tracked job")
    {
        queue = QueueArgument();
        id = Positional("ID", "Job id, as enqueue printed it");
        wait = Duration("--wait", "Wait so long for its end; exit code 5 when it ended badly, 3 when not at all", TimeSpan.FromSeconds(1), TimeSpan.FromDays(7));
    }

    public override string Remarks => "Only jobs enqueued with --track are known by id. Their state is kept for a day after their end, unless the queue says otherwise.";

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var job = JobId(run.Get(id));
        var started = run.Environment.Time.GetTimestamp();
        var found = await run.Client.GetJobAsync(org, name, job, cancellationToken);
        while (run.Get(wait) is { } patience && !IsEnded(found) && run.Environment.Time.GetElapsedTime(started) < patience)
        {
            await Task.Delay(AskEvery, run.Environment.Time, cancellationToken);
            found = await run.Client.GetJobAsync(org, name, job, cancellationToken);
        }

        run.Write(found, json => json.TrackedJob, one => one.State, one => Print(one, run));
        return run.Get(wait) is null || found.State == "completed" ? ExitCodes.Ok : IsEnded(found) ? ExitCodes.RemoteFailed : ExitCodes.WaitEnded;
    }

    public static Guid JobId(string text) => Guid.TryParse(text, out var id) ? id : throw CliFailure.Usage($"\"{text}\" is not the id of a job: it is a UUID, as slipway jobs enqueue prints it");

    public static void Print(TrackedJob job, Invocation run) => new Fields()
        .Add("job", job.Id.ToString())
        .Add("type", job.Type)
        .Add("state", job.State + (job.CancelRequested && !IsEnded(job) ? ", cancellation asked for" : ""))
        .Add("run", job.Attempt > 0 ? job.Attempt.ToString(CultureInfo.InvariantCulture) : null)
        .Add("progress", job.Progress > 0 || job.Note.Length > 0 ? string.Create(CultureInfo.InvariantCulture, $"{job.Progress:0.#} %  {job.Note}").TrimEnd() : null)
        .Add("error", job.Error.Length > 0 ? job.Error.TrimEnd() : null)
        .Add("result", PayloadText.Of(job.Result, job.ResultBytes) is { Length: > 0 } result ? result : null)
        .When("updated", job.UpdatedAt, run.Now)
        .Write(run.Terminal);

    private static bool IsEnded(TrackedJob job) => job.State is "completed" or "dead" or "cancelled";
}
