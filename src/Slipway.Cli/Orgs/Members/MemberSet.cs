using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Orgs.Members;

/// <summary><c>slipway org members add USER</c> and <c>role USER</c>: one call, which sets a member's role.</summary>
internal sealed class MemberSet : Verb
{
    private static readonly string[] Roles = ["owner", "admin", "member", "viewer"];

    private readonly Argument<string> user;
    private readonly Option<string?> role;
    private readonly Option<string?> org;

    private MemberSet(string name, string summary, bool roleRequired)
        : base(name, summary)
    {
        user = Positional("USER", "Name of the user");
        role = Choice("--role", roleRequired ? "The new role" : "Role in the org; member unless given", Roles, roleRequired);
        org = OrgOption();
    }

    public static MemberSet Add() => new("add", "Add a user to an org", roleRequired: false);

    public static MemberSet ChangeRole() => new("role", "Change a member's role", roleRequired: true);

    public override IReadOnlyList<string> Examples => [$"org members {Name} grace --role admin --org acme"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var where = run.Org(org);
        var member = await run.Client.SetMemberAsync(where, run.Get(user), new SetMemberRequest(run.Get(role) ?? "member"), cancellationToken);
        run.Write(member, json => json.Member, one => one.User, _ => { });
        run.Done($"{member.User} is {member.Role} of {where}");
        return ExitCodes.Ok;
    }
}
