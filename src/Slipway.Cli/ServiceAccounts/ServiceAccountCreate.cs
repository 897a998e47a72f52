using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.ServiceAccounts;

/// <summary><c>slipway service-account create NAME</c></summary>
internal sealed class ServiceAccountCreate : Verb
{
    private readonly Argument<string> name;
    private readonly Option<string?> role;
    private readonly Option<string?> org;

    public ServiceAccountCreate()
        : base("create", "Create a machine principal in an org, such as a CI system")
    {
        name = Positional("NAME", "2 to 39 characters of a-z, 0-9 and -, starting with a letter");
        role = Choice("--role", "Role in the org; member unless given", ["admin", "member", "viewer"]);
        org = OrgOption();
    }

    public override IReadOnlyList<string> Examples => ["service-account create ci --role member --org acme"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var where = run.Org(org);
        var account = await run.Client.CreateServiceAccountAsync(
            where, new CreateServiceAccountRequest(run.Get(name), run.Get(role) ?? "member"), cancellationToken);
        run.Write(account, json => json.ServiceAccount, one => one.Name, _ => { });
        run.Done($"created service account {account.Name} ({account.Role} of {where})");
        run.Next($"slipway key issue ci-push --service-account {account.Name} --org {where} --scope 'nix:push:{where}/*' --scope 'nix:query:{where}/*'", "a key for it");
        return ExitCodes.Ok;
    }
}
