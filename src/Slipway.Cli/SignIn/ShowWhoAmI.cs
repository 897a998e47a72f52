using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.SignIn;

/// <summary><c>slipway whoami</c></summary>
internal sealed class ShowWhoAmI() : Verb("whoami", "Show who you are to the server, and what you may do")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var me = await run.Client.WhoAmIAsync(cancellationToken);
        run.Write(me, json => json.WhoAmI, one => one.Name, one => new Fields()
            .Add("name", one.Name)
            .Add("type", one.PrincipalType + (one.Superuser ? ", superuser" : ""), one.PrincipalType)
            .Add("server", $"{run.Connection.Url.GetLeftPart(UriPartial.Authority)} ({run.Connection.UrlFrom})", run.Connection.Url.GetLeftPart(UriPartial.Authority))
            .Add("signed in by", $"{one.Via} {one.CredentialId} ({run.Connection.TokenFrom})", one.Via)
            .When("ends", one.ExpiresAt, run.Now)
            .Add("orgs", [.. one.Orgs.Select(org => $"{org.Org} ({org.Role}){(org.Org == run.Connection.Org ? ", the default" : "")}")])
            .Add("scopes", one.Scopes ?? [])
            .Write(run.Terminal));
        return ExitCodes.Ok;
    }
}
