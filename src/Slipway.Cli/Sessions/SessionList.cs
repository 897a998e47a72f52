using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Sessions;

/// <summary><c>slipway session list</c></summary>
internal sealed class SessionList() : Verb("list", "List where you are signed in")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListSessionsAsync(cancellationToken),
            json => json.PageSession,
            session => session.Id,
            new Table<Session>()
                .Add("ID", session => session.Id)
                .Add("CLIENT", session => session.Client ?? "")
                .When("CREATED", session => session.CreatedAt, run.Now)
                .When("LAST USED", session => session.LastUsedAt, run.Now)
                .When("ENDS", session => session.ExpiresAt, run.Now)
                .Add("", session => session.Current ? "this one" : "", session => session.Current ? "current" : ""),
            "no sessions");
        return ExitCodes.Ok;
    }
}
