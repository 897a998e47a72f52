using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Orgs;

/// <summary><c>slipway org show NAME</c></summary>
internal sealed class OrgShow : Verb
{
    private readonly Argument<string> name;

    public OrgShow()
        : base("show", "Show an org")
    {
        name = Positional("NAME", "Name of the org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var org = await run.Client.GetOrgAsync(run.Get(name), cancellationToken);
        run.Write(org.Value, json => json.Org, one => one.Name, one => Print(one, run));
        return ExitCodes.Ok;
    }

    public static void Print(Org org, Invocation run) => new Fields()
        .Add("name", org.Name)
        .Add("display name", org.DisplayName)
        .Add("your role", org.Role)
        .Add("id", org.Id)
        .When("created", org.CreatedAt, run.Now)
        .Write(run.Terminal);
}
