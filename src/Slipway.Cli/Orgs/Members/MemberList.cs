using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Orgs.Members;

/// <summary><c>slipway org members list</c></summary>
internal sealed class MemberList : Verb
{
    private readonly Option<string?> org;

    public MemberList()
        : base("list", "List the members of an org")
    {
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListMembersAsync(run.Org(org), cancellationToken),
            json => json.PageMember,
            member => member.User,
            new Table<Member>()
                .Add("USER", member => member.User)
                .Add("ROLE", member => member.Role)
                .When("SINCE", member => member.Since, run.Now),
            "no members");
        return ExitCodes.Ok;
    }
}
