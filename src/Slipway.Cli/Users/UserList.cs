using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Users;

/// <summary><c>slipway user list</c></summary>
internal sealed class UserList() : Verb("list", "List users (superusers only)")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListUsersAsync(cancellationToken),
            json => json.PageUser,
            user => user.Name,
            new Table<User>()
                .Add("NAME", user => user.Name)
                .Add("STATUS", user => user.Status)
                .Add("SUPERUSER", user => user.Superuser ? "yes" : "no")
                .When("CREATED", user => user.CreatedAt, run.Now),
            "no users");
        return ExitCodes.Ok;
    }
}
