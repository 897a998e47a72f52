using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.ServiceAccounts;

/// <summary><c>slipway service-account list</c></summary>
internal sealed class ServiceAccountList : Verb
{
    private readonly Option<string?> org;

    public ServiceAccountList()
        : base("list", "List the service accounts of an org")
    {
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListServiceAccountsAsync(run.Org(org), cancellationToken),
            json => json.PageServiceAccount,
            account => account.Name,
            new Table<ServiceAccount>()
                .Add("NAME", account => account.Name)
                .Add("ROLE", account => account.Role)
                .When("CREATED", account => account.CreatedAt, run.Now),
            "no service accounts: slipway service-account create NAME");
        return ExitCodes.Ok;
    }
}
