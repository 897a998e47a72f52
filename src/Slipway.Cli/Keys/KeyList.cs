using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Keys;

/// <summary><c>slipway key list</c></summary>
internal sealed class KeyList : Verb
{
    private readonly Option<string?> account;
    private readonly Option<string?> org;

    public KeyList()
        : base("list", "List your keys, or those of a service account")
    {
        account = Text("--service-account", "NAME", "List the keys of this service account of the org");
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Get(account) is { } machine
                ? run.Client.ListServiceAccountKeysAsync(run.Org(org), machine, cancellationToken)
                : run.Client.ListKeysAsync(cancellationToken),
            json => json.PageKey,
            key => key.Id,
            new Table<Key>()
                .Add("ID", key => key.Id)
                .Add("NAME", key => key.Name)
                .Add("STATUS", key => key.Status)
                .Add("SCOPES", key => string.Join(' ', key.Scopes))
                .When("ENDS", key => key.ExpiresAt, run.Now)
                .When("LAST USED", key => key.LastUsedAt, run.Now),
            "no keys: slipway key issue NAME --scope SCOPE");
        return ExitCodes.Ok;
    }
}
