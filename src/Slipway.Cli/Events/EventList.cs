using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Events;

/// <summary><c>slipway event list</c></summary>
internal sealed class EventList : Verb
{
    private readonly Option<string?> org;
    private readonly Option<bool> server;
    private readonly Option<int?> after;

    public EventList()
        : base("list", "List what happened in an org: its audit log")
    {
        org = OrgOption();
        server = Flag("--server", "The server's own log instead: users and stores (superusers only)");
        after = Number("--after", "SEQ", "Only entries after this one", least: 0, most: int.MaxValue);
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListEventsAsync(run.Get(server) ? null : run.Org(org), run.Get(after) ?? 0, cancellationToken),
            json => json.PageEvent,
            entry => entry.Seq.ToString(System.Globalization.CultureInfo.InvariantCulture),
            EventTable.Of(run.Now),
            "nothing happened yet");
        return ExitCodes.Ok;
    }
}
