using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Users;

/// <summary><c>slipway user create NAME</c></summary>
internal sealed class UserCreate : Verb
{
    private readonly Argument<string> name;
    private readonly Option<bool> superuser;
    private readonly Option<bool> passwordStdin;

    public UserCreate()
        : base("create", "Create a user (superusers only); asks for the password")
    {
        name = Positional("NAME", "2 to 39 characters of a-z, 0-9 and -, starting with a letter");
        superuser = Flag("--superuser", "May manage users and stores");
        passwordStdin = Flag("--password-stdin", "Read the password from stdin instead of asking");
    }

    public override IReadOnlyList<string> Examples => ["user create ada", "user create ci-admin --superuser --password-stdin < password"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var password = run.NewPassword($"Password for {run.Get(name)} (12 characters or more)", run.Get(passwordStdin), "--password-stdin");
        var user = await run.Client.CreateUserAsync(new CreateUserRequest(run.Get(name), password, run.Get(superuser)), cancellationToken);
        run.Write(user, json => json.User, one => one.Name, one => UserShow.Print(one, run));
        run.Done($"created user {user.Name}");
        run.Next($"slipway org members add {user.Name} --role member --org ORG", "lets them into an org");
        return ExitCodes.Ok;
    }
}
