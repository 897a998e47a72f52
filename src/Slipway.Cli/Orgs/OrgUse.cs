using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Orgs;

/// <summary><c>slipway org use NAME</c></summary>
internal sealed class OrgUse : Verb
{
    private readonly Argument<string> name;

    public OrgUse()
        : base("use", "Make an org the default of the current context")
    {
        name = Positional("NAME", "Name of the org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Connection is not { ContextName: { } context, Context: { } saved })
        {
            throw new CliFailure(ExitCodes.Usage, "no_context", "there is no context to keep a default org in")
            {
                Try = ["slipway login --user NAME", "SLIPWAY_ORG=NAME slipway …"],
            };
        }

        var org = await run.Client.GetOrgAsync(run.Get(name), cancellationToken);
        run.Contexts.Save(context, saved with { Org = org.Value.Name }, token: null);
        run.Done($"{org.Value.Name} is now the default org of context {context}");
        return ExitCodes.Ok;
    }
}
