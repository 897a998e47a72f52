using System.CommandLine;
using System.Net;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Contexts;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.SignIn;

/// <summary><c>slipway login</c>: a password becomes a session, or a token is checked; either is kept as a context.</summary>
internal sealed class Login : Verb
{
    private const string DefaultName = "default";

    private readonly Option<string?> user;
    private readonly Option<bool> local;
    private readonly Option<bool> tokenStdin;
    private readonly Option<bool> passwordStdin;

    public Login()
        : base("login", "Sign in to a server and remember it as a context")
    {
        user = Text("--user", "NAME", "Sign in as this user; asks for the password");
        local = Flag("--local", "Sign in as the admin of the server on this machine, with the token in its data folder");
        tokenStdin = Flag("--token-stdin", "Read a session token or key from stdin instead");
        passwordStdin = Flag("--password-stdin", "Read the password from stdin instead of asking");
    }

    public override string Remarks =>
        "The token is kept in credentials.json beside contexts.json, readable by you only. --context NAME names the context; without it the one of the same server is renewed.";

    public override IReadOnlyList<string> Examples =>
    [
        "login --local",
        "login --user ada",
        "login --token-stdin < DATA-FOLDER/admin-token",
        "login --url https://slipway.example --user ada --context work",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if ((bool[])[run.Get(local), run.Get(user) is not null, run.Get(tokenStdin)] is var ways && ways.Count(way => way) != 1)
        {
            throw CliFailure.Usage(
                "say who you are: --local, --user NAME or --token-stdin, one of them",
                "slipway login --local   (the server on this machine)",
                "slipway login --user NAME --url URL");
        }

        var url = run.UrlFlag is null && run.ContextFlag is { } named && !run.Contexts.Read().Contexts.ContainsKey(named)
            ? Connection.ParseUrl(run.Environment.Variable("SLIPWAY_URL") ?? Connection.DefaultUrl, "SLIPWAY_URL")
            : run.UrlFlag is { } flag ? Connection.ParseUrl(flag, "--url") : run.Connection.Url;

        string token;
        if (run.Get(local))
        {
            token = await LocalTokenAsync(run, url, cancellationToken);
        }
        else if (run.Get(user) is { } name)
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

    /// <summary>The first of the tokens on this machine that the server takes.</summary>
    private static async Task<string> LocalTokenAsync(Invocation run, Uri url, CancellationToken cancellationToken)
    {
        if (!url.IsLoopback)
        {
            throw CliFailure.Usage($"--local is for a server on this machine, and {url.Authority} is another", "slipway login --local --url http://127.0.0.1:7474");
        }

        var tokens = LocalAdminToken.Find(run.Environment);
        foreach (var (_, token) in tokens)
        {
            using var client = run.Open(url, token);
            try
            {
                await client.WhoAmIAsync(cancellationToken);
                return token;
            }
            catch (SlipwayApiException refused) when (refused.Status == HttpStatusCode.Unauthorized)
            {
            }
        }

        throw new CliFailure(ExitCodes.NotAllowed, "admin_token_refused", $"the server at {url.Authority} does not take the admin token found here")
        {
            Cause = $"{string.Join(", ", tokens.Select(found => found.Path))}: of another server, or ended",
            Try = ["slipway login --token-stdin < DATA-FOLDER/admin-token   (slipway up prints where it lies, and makes a new one when the old has ended)"],
        };
    }
}
