using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Sessions;

/// <summary><c>slipway session revoke ID</c></summary>
internal sealed class SessionRevoke : Verb
{
    private readonly Argument<string> id;

    public SessionRevoke()
        : base("revoke", "Sign out somewhere else")
    {
        id = Positional("ID", "Id of the session, from slipway session list");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.Client.RevokeSessionAsync(run.Get(id), cancellationToken);
        run.Done($"ended session {run.Get(id)}");
        return ExitCodes.Ok;
    }
}
