using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Users;

/// <summary><c>slipway user disable NAME</c> and <c>enable NAME</c></summary>
internal sealed class UserSetStatus : Verb
{
    private readonly Argument<string> name;
    private readonly string status;

    private UserSetStatus(string verb, string summary, string status)
        : base(verb, summary)
    {
        this.status = status;
        name = Positional("NAME", "Name of the user");
    }

    public static UserSetStatus Disable() => new("disable", "Lock a user out at once: sessions and keys stop working", "disabled");

    public static UserSetStatus Enable() => new("enable", "Let a disabled user in again", "active");

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var before = await run.Client.GetUserAsync(run.Get(name), cancellationToken);
        var user = await run.Client.UpdateUserAsync(before.Value.Name, new UpdateUserRequest(status, null), before.ETag, cancellationToken);
        run.Write(user, json => json.User, one => one.Name, _ => { });
        run.Done($"{user.Name} is {user.Status}");
        return ExitCodes.Ok;
    }
}
