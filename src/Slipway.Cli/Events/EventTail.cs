using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Events;

/// <summary><c>slipway event tail</c>: the latest entries, then those to come.</summary>
internal sealed class EventTail : Verb
{
    private readonly Option<string?> org;
    private readonly Option<int?> after;

    public EventTail()
        : base("tail", "Follow what happens in an org, until Ctrl-C")
    {
        org = OrgOption();
        after = Number("--after", "SEQ", "Start after this entry instead of with the next new one", least: 0, most: int.MaxValue);
    }

    public override string Remarks => "A broken connection is taken up again after the last entry shown. With --json each entry is one line.";

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var where = run.Org(org);
        if (run.Environment.ErrorIsTerminal && !run.Json)
        {
            run.Terminal.Say(run.Terminal.ErrorStyle.Dim($"following {where}; Ctrl-C ends it"));
        }

        await foreach (var entry in run.Client.TailEventsAsync(where, run.Get(after), cancellationToken))
        {
            run.Out.WriteLine(
                run.Json ? JsonSerializer.Serialize(entry, CliJson.Lines.Event)
                : run.Quiet ? entry.Seq.ToString(CultureInfo.InvariantCulture)
                : run.Environment.OutIsTerminal ? EventTable.Line(entry, run.Terminal.OutStyle)
                : EventTable.Plain(entry));
            run.Out.Flush();
        }

        return ExitCodes.Ok;
    }
}
