using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Jobs.Watching;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Schedules;

/// <summary><c>slipway jobs cron list QUEUE</c></summary>
internal sealed class CronList : JobVerb
{
    private readonly Argument<string> queue;

    public CronList()
        : base("list", "List a queue's schedules")
    {
        queue = QueueArgument();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        await run.WriteListAsync(
            run.Client.ListSchedulesAsync(org, name, cancellationToken),
            json => json.PageJobSchedule,
            schedule => schedule.Name,
            new Table<JobSchedule>()
                .Add("NAME", schedule => schedule.Name)
                .Add("CRON", schedule => schedule.Cron)
                .Add("ZONE", schedule => schedule.TimeZone)
                .Add("TYPE", schedule => schedule.Job.Type)
                .Add("STATE", schedule => schedule.Paused ? "paused" : "on")
                .When("NEXT", schedule => schedule.NextAt, run.Now)
                .When("LAST", schedule => schedule.LastFiredAt, run.Now)
                .Add("CATCH UP", schedule => schedule.CatchUp)
                .Add("PAYLOAD", schedule => PayloadText.Short(schedule.Job.Payload, schedule.Job.PayloadBytes), schedule => PayloadText.Of(schedule.Job.Payload, schedule.Job.PayloadBytes)),
            $"no schedules in {org}/{name}: slipway jobs cron set {org}/{name} NAME '0 3 * * *' --type TYPE");
        return ExitCodes.Ok;
    }
}
