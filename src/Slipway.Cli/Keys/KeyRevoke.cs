using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Keys;

/// <summary><c>slipway key revoke ID</c></summary>
internal sealed class KeyRevoke : Verb
{
    private readonly Argument<string> id;
    private readonly Option<string?> account;
    private readonly Option<string?> org;

    public KeyRevoke()
        : base("revoke", "End a key at once")
    {
        id = Positional("ID", "Id of the key, from slipway key list");
        account = Text("--service-account", "NAME", "It is a key of this service account of the org");
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await (run.Get(account) is { } machine
            ? run.Client.RevokeServiceAccountKeyAsync(run.Org(org), machine, run.Get(id), cancellationToken)
            : run.Client.RevokeKeyAsync(run.Get(id), cancellationToken));
        run.Done($"revoked {run.Get(id)}");
        return ExitCodes.Ok;
    }
}
