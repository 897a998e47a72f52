using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Jobs.Producing;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Schedules;

/// <summary><c>slipway jobs cron set QUEUE NAME CRON</c></summary>
internal sealed class CronSet : JobVerb
{
    private readonly Argument<string> queue;
    private readonly Argument<string> name;
    private readonly Argument<string> cron;
    private readonly Argument<string?> payload;
    private readonly Option<string?> type;
    private readonly Option<string?> zone;
    private readonly Option<string?> catchUp;
    private readonly Option<int?> priority;
    private readonly Option<bool> paused;

    public CronSet()
        : base("set", "Make a schedule, or replace the one of that name")
    {
        queue = QueueArgument();
        name = Positional("NAME", "Of the schedule");
        cron = Positional("CRON", "Minute hour day month weekday, such as '0 3 * * *'; seconds may stand in front");
        payload = new Argument<string?>("PAYLOAD") { Description = "Payload of each job: JSON, or any text", Arity = ArgumentArity.ZeroOrOne };
        Add(payload);
        type = Text("--type", "TYPE", "Job type", required: true);
        zone = Text("--time-zone", "ZONE", "IANA name such as Europe/Berlin; UTC unless given");
        catchUp = Choice("--catch-up", "Slots that passed while no server ran: none, the latest, or the latest 100", ["skip", "once", "all"]);
        priority = Number("--priority", "N", "0 is first, 7 last; 3 unless given", least: 0, most: 7);
        paused = Flag("--paused", "Keep it, but don't fire");
    }

    public override string Remarks => "Each slot fires exactly once, whatever the number of servers.";

    public override IReadOnlyList<string> Examples =>
        ["jobs cron set acme/reports nightly '0 3 * * *' '{\"day\":\"yesterday\"}' --type report --time-zone Europe/Berlin --catch-up once"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, queueName) = run.Queue(run.Get(queue));
        var job = JobPayload.OfText(run.Get(payload) ?? "").On(new NewJob(run.Get(type)!, Priority: run.Get(priority)));
        var set = await run.Client.SetScheduleAsync(
            org, queueName, run.Get(name), new SetScheduleRequest(run.Get(cron), job, run.Get(zone), run.Get(catchUp), run.Get(paused)), cancellationToken);
        if (run.Json || run.Quiet)
        {
            run.Write(set, json => json.JobSchedule, one => one.Name, _ => { });
        }

        run.Done($"set {set.Name} of {org}/{queueName}: {(set.NextAt is { } next ? $"fires {Figures.Since(next, run.Now)} ({Figures.Stamp(next)})" : set.Paused ? "paused" : "never fires")}");
        return ExitCodes.Ok;
    }
}
