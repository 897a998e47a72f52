using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Queues;

/// <summary><c>slipway jobs limits set QUEUE TYPE</c></summary>
internal sealed class LimitSet : JobVerb
{
    private readonly Argument<string> queue;
    private readonly Argument<string> type;
    private readonly Option<long?> concurrency;
    private readonly Option<double?> rate;
    private readonly Option<double?> burst;
    private readonly Option<long?> breakAfter;
    private readonly Option<TimeSpan?> breakFor;

    public LimitSet()
        : base("set", "Limit a job type over all workers")
    {
        queue = QueueArgument();
        type = Positional("TYPE", $"Job type, or '{LimitList.WholeQueue}' for the whole queue");
        concurrency = Amount("--concurrency", "Jobs at work at once; 0: no limit", least: 0, most: 1_000_000);
        rate = PerSecond("--rate", "Cost that is handed out on average; jobs cost 1 unless enqueued with --cost");
        burst = PerSecond("--burst", "Cost that may go at once after a quiet time; one second's worth unless given");
        breakAfter = Amount("--break-after", "Stop handing out after so many failures in a row, then probe; 0: never", least: 0, most: 1_000_000);
        breakFor = Duration("--break-for", "Time until the first probe; doubles with each failed one", TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(1));
    }

    public override string Remarks => "What is not given stays as it is. Limits hold over all workers, and are evaluated when jobs are handed out.";

    public override IReadOnlyList<string> Examples => ["jobs limits set acme/mail send --rate 100/s --concurrency 20", "jobs limits set acme/mail '*' --concurrency 500", "jobs limits set acme/mail send --break-after 10 --break-for 30s"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var key = run.Get(type) is LimitList.WholeQueue ? "" : run.Get(type);
        var before = await run.Client.GetQueueAsync(org, name, cancellationToken);
        var had = before.Value.Settings.Types.GetValueOrDefault(key) ?? new JobTypeLimits();
        var limits = had with
        {
            Concurrency = (int)(run.Get(concurrency) ?? had.Concurrency),
            Rate = run.Get(rate) ?? had.Rate,
            Burst = run.Get(burst) ?? had.Burst,
            BreakAfter = (int)(run.Get(breakAfter) ?? had.BreakAfter),
            BreakForMs = run.Get(breakFor) is { } time ? (long)time.TotalMilliseconds : had.BreakForMs,
        };
        if (limits == had)
        {
            throw CliFailure.Usage("nothing to change was given", "slipway jobs limits set --help");
        }

        var change = new JobQueueSettingsChange(Types: new Dictionary<string, JobTypeLimits?> { [key] = limits });
        var after = await run.Client.UpdateQueueAsync(org, name, new UpdateQueueRequest(Settings: change), before.ETag, cancellationToken);
        run.Write(after, json => json.JobQueue, one => $"{one.Org}/{one.Name}", one => QueueShow.Print(one, run));
        run.Done($"{org}/{name} {LimitList.NameOf(key)}: {LimitList.Words(limits)}");
        return ExitCodes.Ok;
    }
}
