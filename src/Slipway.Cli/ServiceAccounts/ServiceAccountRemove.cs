using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.ServiceAccounts;

/// <summary><c>slipway service-account remove NAME</c></summary>
internal sealed class ServiceAccountRemove : Verb
{
    private readonly Argument<string> name;
    private readonly Option<string?> org;
    private readonly Option<bool> yes;

    public ServiceAccountRemove()
        : base("remove", "Remove a service account; its keys stop working at once")
    {
        name = Positional("NAME", "Name of the service account");
        org = OrgOption();
        yes = Flag("--yes", "Don't ask");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var where = run.Org(org);
        run.Confirm($"{run.Get(name)} of {where} and all its keys end now.", run.Get(name), run.Get(yes));
        await run.Client.RemoveServiceAccountAsync(where, run.Get(name), cancellationToken);
        run.Done($"removed service account {run.Get(name)} of {where}");
        return ExitCodes.Ok;
    }
}
