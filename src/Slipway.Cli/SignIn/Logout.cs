using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Shell;

namespace Slipway.Cli.SignIn;

/// <summary><c>slipway logout</c>: ends the session at the server and forgets the token here.</summary>
internal sealed class Logout() : Verb("logout", "End the session and forget its token")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var connection = run.Connection;
        if (connection.Token is null)
        {
            run.Done("not signed in: nothing to do");
            return ExitCodes.Ok;
        }

        var ended = true;
        try
        {
            await run.Client.SignOutAsync(cancellationToken);
        }
        catch (SlipwayApiException exception) when (exception.Problem.Status == 401)
        {
            // It had ended already.
        }
        catch (SlipwayApiException exception) when (exception.Problem is { Code: ProblemCodes.SessionRequired } or { Status: 403 or 404 })
        {
            // A key has no session to end; it stays valid until revoked.
            ended = false;
        }

        if (connection.ContextName is { } name)
        {
            run.Contexts.ForgetToken(name);
        }

        run.Done(ended ? $"signed out of {connection.Url.Authority}" : $"forgot the key for {connection.Url.Authority}; it stays valid until it is revoked");
        return ExitCodes.Ok;
    }
}
