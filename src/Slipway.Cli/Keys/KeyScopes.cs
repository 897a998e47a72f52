using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Keys;

/// <summary><c>slipway key scopes</c>: the catalogue.</summary>
internal sealed class KeyScopes() : Verb("scopes", "List the scopes a key may carry")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var page = await run.Client.ListScopesAsync(cancellationToken);
        run.Write(page, json => json.PageScopeDefinition, all => string.Join('\n', all.Items.Select(scope => scope.Scope)), all =>
            new Table<ScopeDefinition>()
                .Add("SCOPE", scope => scope.Scope)
                .Add("FROM ROLE", scope => scope.MinimumRole)
                .Add("ALLOWS", scope => scope.Summary)
                .Write(all.Items, run.Terminal));
        return ExitCodes.Ok;
    }
}
