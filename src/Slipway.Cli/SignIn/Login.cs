using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Contexts;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.SignIn;

/// <summary><c>slipway login</c>: a password becomes a session, or a token is checked; either is kept as a context.</summary>
internal sealed class Login : Verb
{
    private const string DefaultName = "default";

    private readonly Option<string?> user;
    private readonly Option<bool> tokenStdin;
    private readonly Option<bool> passwordStdin;

    public Login()
        : base("login", "Sign in to a server and remember it as a context")
    {
        user = Text("--user", "NAME", "Sign in as this user; asks for the password");
        tokenStdin = Flag("--token-stdin", "Read a session token or key from stdin instead");
        passwordStdin = Flag("--password-stdin", "Read the password from stdin instead of asking");
    }

    public override string Remarks =>
        "The token is kept in credentials.json beside contexts.json, readable by you only. --context NAME names the context; without it the one of the same server is renewed.";

    public override IReadOnlyList<string> Examples =>
    [
        "login --user ada",
        "login --token-stdin < ~/.local/share/slipway/admin-token",
        "login --url https://slipway.example --user ada --context work",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(tokenStdin) == (run.Get(user) is not null))
        {
            throw CliFailure.Usage("say who you are: --user NAME or --token-stdin, one of them", "slipway login --user NAME");
        }

        var url = run.UrlFlag is null && run.ContextFlag is { } named && !run.Contexts.Read().Contexts.ContainsKey(named)
            ? Connection.ParseUrl(run.Environment.Variable("SLIPWAY_URL") ?? Connection.DefaultUrl, "SLIPWAY_URL")
            : run.UrlFlag is { } flag ? Connection.ParseUrl(flag, "--url") : run.Connection.Url;

        string token;
        if (run.Get(user) is { } name)
        {
            using var anonymous = run.Open(url, token: null);
            var password = run.Secret($"Password of {name} at {url.Authority}", run.Get(passwordStdin), "--password-stdin");
            token = (await anonymous.SignInAsync(new SignInRequest(name, password), cancellationToken)).Token;
        }
        else
        {
            token = run.Secret("Token", fromStdin: true, "--token-stdin").Trim();
        }

        using var client = run.Open(url, token);
        var me = await client.WhoAmIAsync(cancellationToken);
        var saved = run.Contexts.Read();
        var server = url.GetLeftPart(UriPartial.Authority);
        var context = run.ContextFlag
            ?? saved.Contexts.FirstOrDefault(pair => pair.Value.Url == server).Key
            ?? (saved.Contexts.ContainsKey(DefaultName) ? url.Host : DefaultName);
        var org = saved.Contexts.GetValueOrDefault(context)?.Org;
        if (org is null || me.Orgs.All(membership => membership.Org != org))
        {
            org = me.Orgs is [var only] ? only.Org : null;
        }

        run.Contexts.Save(context, new SavedContext(server, me.Name, org), token);
        run.Write(me, json => json.WhoAmI, one => one.Name, _ => { });
        run.Done($"signed in to {server} as {run.Terminal.ErrorStyle.Bold(Printable.Text(me.Name))}{(me.Superuser ? " (superuser)" : "")}, context {context}");
        if (me.ExpiresAt is { } expires)
        {
            run.Next("slipway whoami", $"the {me.Via} ends {Figures.Since(expires, run.Now)}");
        }

        if (me.Orgs.Count == 0)
        {
            run.Next("slipway org create NAME", "you are in no org yet");
        }

        return ExitCodes.Ok;
    }
}
