using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Orgs.Members;

/// <summary><c>slipway org members remove USER</c></summary>
internal sealed class MemberRemove : Verb
{
    private readonly Argument<string> user;
    private readonly Option<string?> org;

    public MemberRemove()
        : base("remove", "Remove a user from an org; their keys lose it at once")
    {
        user = Positional("USER", "Name of the user");
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var where = run.Org(org);
        await run.Client.RemoveMemberAsync(where, run.Get(user), cancellationToken);
        run.Done($"{run.Get(user)} is no longer in {where}");
        return ExitCodes.Ok;
    }
}
