using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary><c>slipway jobs peek QUEUE</c></summary>
internal sealed class PeekJobs : JobVerb
{
    private const int Usual = 20;

    private readonly Argument<string> queue;
    private readonly Option<int?> count;
    private readonly Option<bool> delayed;
    private readonly Option<string?> held;

    public PeekJobs()
        : base("peek", "Show the jobs that wait, the next one first, and leave them there")
    {
        queue = QueueArgument();
        count = Number("--count", "N", $"How many; {Usual} unless given", least: 1, most: 1000);
        delayed = Flag("--delayed", "Those whose time has not come, the soonest first");
        held = Text("--held", "TYPE", "Those of this type that wait for its limit");
    }

    public override IReadOnlyList<string> Examples => ["jobs peek acme/mail", "jobs peek acme/mail --delayed --count 100", "jobs peek acme/mail --json"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(delayed) && run.Get(held) is not null)
        {
            throw CliFailure.Usage("--delayed and --held can't both be");
        }

        var (org, name) = run.Queue(run.Get(queue));
        var place = run.Get(delayed) ? "delayed" : run.Get(held) is { } type ? $"held:{type}" : "ready";
        var page = await run.Client.PeekQueueAsync(org, name, place, run.Get(count) ?? Usual, cancellationToken);
        if (run.Json)
        {
            run.Out.WriteLine(JsonSerializer.Serialize(page, CliJson.Indented.QueuedJobs));
        }
        else if (run.Quiet)
        {
            foreach (var job in page.Jobs)
            {
                run.Out.WriteLine(job.Id);
            }
        }
        else if (page.Jobs.Count > 0)
        {
            // Columns in which every row is alike tell nothing to a person; programs get all of them.
            var brief = run.Environment.OutIsTerminal;
            var table = new Table<QueuedJob>()
                .Add("ID", job => job.Id.ToString())
                .Add("TYPE", job => job.Type)
                .Number("PRIORITY", job => Invariant(job.Priority), job => Invariant(job.Priority))
                .Number("RUN", job => Invariant(job.Attempt), job => Invariant(job.Attempt))
                .When("ENQUEUED", job => job.EnqueuedAt, run.Now);
            if (!brief || page.Jobs.Any(job => job.Due is not null))
            {
                table.When("DUE", job => job.Due, run.Now);
            }

            if (!brief || page.Jobs.Any(job => job.Unique is not null))
            {
                table.Add("UNIQUE", job => job.Unique ?? "");
            }

            table.Add("PAYLOAD", job => PayloadText.Short(job.Payload, job.PayloadBytes), job => PayloadText.Of(job.Payload, job.PayloadBytes)).Write(page.Jobs, run.Terminal);
        }
        else if (run.Environment.OutIsTerminal)
        {
            run.Terminal.Say(place switch
            {
                "ready" => $"nothing waits in {org}/{name}: slipway jobs stats {org}/{name} shows the rest",
                "delayed" => $"no delayed jobs in {org}/{name}",
                _ => $"no jobs of type {run.Get(held)} are held in {org}/{name}",
            });
        }

        return ExitCodes.Ok;
    }

    private static string Invariant(int number) => number.ToString(CultureInfo.InvariantCulture);
}
