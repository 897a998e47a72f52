using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Jobs.Watching;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.DeadLetters;

/// <summary><c>slipway jobs dead list QUEUE</c></summary>
internal sealed class DeadList : JobVerb
{
    private const int Usual = 50;

    private readonly Argument<string> queue;
    private readonly Option<string?> reason;
    private readonly Option<string?> type;
    private readonly Option<long?> limit;

    public DeadList()
        : base("list", "List dead letters, the latest first")
    {
        queue = QueueArgument();
        reason = Text("--reason", "REASON", "Only those of this reason, such as 'exit 1'");
        type = TypeFilter("Only those of this job type");
        limit = Amount("--limit", $"How many; {Usual} unless given", least: 1, most: 1_000_000);
    }

    public override string Remarks => "With --json each is an object of one page, payload and whole error included.";

    public override IReadOnlyList<string> Examples => ["jobs dead list acme/mail", "jobs dead list acme/mail --reason timeout --limit 1000 --json"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(queue));
        var most = run.Get(limit) ?? Usual;
        var found = new List<DeadJob>();
        await foreach (var dead in run.Client.ListDeadLettersAsync(org, name, run.Get(reason), run.Get(type), cancellationToken))
        {
            if (found.Count == most)
            {
                run.Terminal.Warn($"there are more than {Figures.Count(most)}: --limit N shows more");
                break;
            }

            found.Add(dead);
        }

        if (run.Json)
        {
            run.Out.WriteLine(JsonSerializer.Serialize(new Page<DeadJob>(found, null), CliJson.Indented.PageDeadJob));
        }
        else if (run.Quiet)
        {
            found.ForEach(dead => run.Out.WriteLine(dead.Id));
        }
        else if (found.Count > 0)
        {
            new Table<DeadJob>()
                .Add("ID", dead => dead.Id)
                .When("DIED", dead => dead.DiedAt, run.Now)
                .Add("TYPE", dead => dead.Type)
                .Number("RUN", dead => dead.Attempt.ToString(CultureInfo.InvariantCulture), dead => dead.Attempt.ToString(CultureInfo.InvariantCulture))
                .Add("REASON", dead => dead.Reason)
                .Add("ERROR", dead => dead.Error.TrimEnd())
                .Add("PAYLOAD", dead => PayloadText.Short(dead.Payload, dead.PayloadBytes), dead => PayloadText.Of(dead.Payload, dead.PayloadBytes))
                .Write(found, run.Terminal);
            run.Next($"slipway jobs redrive {org}/{name} --reason '{found[0].Reason}'", "puts those of a reason back to work");
        }
        else if (run.Environment.OutIsTerminal)
        {
            run.Terminal.Say($"no dead letters in {org}/{name}");
        }

        return ExitCodes.Ok;
    }
}
