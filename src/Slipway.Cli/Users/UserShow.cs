using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Users;

/// <summary><c>slipway user show NAME</c></summary>
internal sealed class UserShow : Verb
{
    private readonly Argument<string> name;

    public UserShow()
        : base("show", "Show a user")
    {
        name = Positional("NAME", "Name of the user");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var user = await run.Client.GetUserAsync(run.Get(name), cancellationToken);
        run.Write(user.Value, json => json.User, one => one.Name, one => Print(one, run));
        return ExitCodes.Ok;
    }

    public static void Print(User user, Invocation run) => new Fields()
        .Add("name", user.Name)
        .Add("status", user.Status)
        .Add("superuser", user.Superuser ? "yes" : "no")
        .Add("id", user.Id)
        .When("created", user.CreatedAt, run.Now)
        .Write(run.Terminal);
}
