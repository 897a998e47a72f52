using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Orgs;

/// <summary><c>slipway org list</c></summary>
internal sealed class OrgList() : Verb("list", "List the orgs you are in")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListOrgsAsync(cancellationToken),
            json => json.PageOrg,
            org => org.Name,
            new Table<Org>()
                .Add("NAME", org => org.Name)
                .Add("DISPLAY NAME", org => org.DisplayName)
                .Add("YOUR ROLE", org => org.Role ?? "–", org => org.Role ?? "")
                .When("CREATED", org => org.CreatedAt, run.Now),
            "no orgs yet: slipway org create NAME");
        return ExitCodes.Ok;
    }
}
