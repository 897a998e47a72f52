using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Orgs;

/// <summary><c>slipway org create NAME</c></summary>
internal sealed class OrgCreate : Verb
{
    private readonly Argument<string> name;
    private readonly Option<string?> displayName;

    public OrgCreate()
        : base("create", "Create an org and become its owner")
    {
        name = Positional("NAME", "2 to 39 characters of a-z, 0-9 and -, starting with a letter; can't be changed");
        displayName = Text("--display-name", "TEXT", "Name for people");
    }

    public override IReadOnlyList<string> Examples => ["org create acme --display-name \"Acme Ltd\""];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var org = await run.Client.CreateOrgAsync(new CreateOrgRequest(run.Get(name), run.Get(displayName)), cancellationToken);
        run.Write(org, json => json.Org, one => one.Name, one => OrgShow.Print(one, run));
        run.Done($"created org {org.Name}");
        if (run.Connection is { ContextName: { } context, Context: { Org: null } saved })
        {
            run.Contexts.Save(context, saved with { Org = org.Name }, token: null);
            run.Done($"{org.Name} is now the default org of context {context}");
        }

        run.Next("slipway cache create main", "a first Nix cache in it");
        return ExitCodes.Ok;
    }
}
