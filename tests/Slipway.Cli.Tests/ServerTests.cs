using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Api;
using Xunit;

namespace Slipway.Cli.Tests;

public sealed class ServerTests
{
    private static readonly DateTimeOffset Then = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly User Ada = new("user_1", "ada", "active", true, Then);
    private static readonly WhoAmI Me = new("user", "user_1", "ada", true, "session", "ses_1", Then.AddYears(9), [new OrgMembership("acme", "owner")], null);

    private static Task SignInAsync(HttpContext http) => http.Request.Path.Value switch
    {
        Routes.Sessions => FakeApi.AnswerAsync(
            http, new SignedIn("sls_token", new Session("ses_1", Then, Then, null, null, true), Ada), ApiJson.Default.SignedIn, 201),
        Routes.WhoAmI => FakeApi.AnswerAsync(http, Me, ApiJson.Default.WhoAmI),
        _ => FakeApi.RefuseAsync(http, 404, ProblemCodes.NotFound, "no such thing"),
    };

    [Fact]
    public async Task Login_keeps_a_context_and_its_token_where_only_the_user_can_read_it()
    {
        await using var api = await FakeApi.StartAsync(SignInAsync);
        using var cli = new CliRun { Input = "correct horse battery" };

        (await cli.RunAsync("login", "--user", "ada", "--password-stdin", "--url", api.Url)).ShouldBe(ExitCodes.Ok);
        (await cli.RunAsync("whoami", "--quiet")).ShouldBe(ExitCodes.Ok);

        cli.Out.ShouldBe("ada\n");
        api.Requests.Last().Headers["Authorization"].ShouldBe("Bearer sls_token");
        var credentials = Path.Combine(cli.ConfigFolder, "slipway", "credentials.json");
        File.GetUnixFileMode(credentials).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        (await File.ReadAllTextAsync(Path.Combine(cli.ConfigFolder, "slipway", "contexts.json"), TestContext.Current.CancellationToken)).ShouldNotContain("sls_token");
    }

    [Fact]
    public async Task Login_takes_the_token_that_the_server_on_this_machine_left()
    {
        await using var api = await FakeApi.StartAsync(http => http.Request.Headers.Authorization == "Bearer sls_new"
            ? SignInAsync(http)
            : FakeApi.RefuseAsync(http, 401, ProblemCodes.CredentialInvalid, "no"));
        using var cli = new CliRun();
        foreach (var (folder, token) in ((string, string)[])[("data/slipway", "sls_old"), (".local/share/slipway", "sls_new")])
        {
            Directory.CreateDirectory(cli.HomeFile(folder));
            await File.WriteAllTextAsync(Path.Combine(cli.HomeFile(folder), "admin-token"), token + "\n", TestContext.Current.CancellationToken);
        }

        cli.Variables["XDG_DATA_HOME"] = cli.HomeFile("data");
        (await cli.RunAsync("login", "--local", "--url", api.Url)).ShouldBe(ExitCodes.Ok, cli.Error);
        (await cli.RunAsync("whoami", "--quiet")).ShouldBe(ExitCodes.Ok, cli.Error);
        cli.Out.ShouldBe("ada\n");

        File.Delete(Path.Combine(cli.HomeFile(".local/share/slipway"), "admin-token"));
        (await cli.RunAsync("login", "--local", "--url", api.Url)).ShouldBe(ExitCodes.NotAllowed);
        cli.Error.ShouldContain("error[admin_token_refused]");
    }

    [Fact]
    public async Task Login_local_names_the_places_it_looked_in_and_never_asks_another_machine()
    {
        using var cli = new CliRun();
        (await cli.RunAsync("login", "--local")).ShouldBe(ExitCodes.NotFound);
        cli.Error.ShouldContain(cli.HomeFile(".local/share/slipway"));
        cli.Error.ShouldContain(cli.HomeFile("service"));
        (await cli.RunAsync("login", "--local", "--url", "https://slipway.example")).ShouldBe(ExitCodes.Usage);
    }

    [Fact]
    public async Task A_stored_token_is_not_sent_to_another_server()
    {
        await using var api = await FakeApi.StartAsync(SignInAsync);
        await using var other = await FakeApi.StartAsync(http => FakeApi.RefuseAsync(http, 401, ProblemCodes.SignInRequired, "who are you?"));
        using var cli = new CliRun { Input = "correct horse battery" };
        await cli.RunAsync("login", "--user", "ada", "--password-stdin", "--url", api.Url);

        (await cli.RunAsync("whoami", "--url", other.Url)).ShouldBe(ExitCodes.NotAllowed);

        other.Requests.Single().Headers.ShouldNotContainKey("Authorization");
        cli.Error.ShouldContain("error[sign_in_required]: who are you?");
        cli.Error.ShouldContain("try: slipway login");
        cli.Error.ShouldContain("request-id: req-1");
    }

    [Theory]
    [InlineData(400, ExitCodes.Usage)]
    [InlineData(401, ExitCodes.NotAllowed)]
    [InlineData(403, ExitCodes.NotAllowed)]
    [InlineData(404, ExitCodes.NotFound)]
    [InlineData(409, ExitCodes.Conflict)]
    [InlineData(412, ExitCodes.Conflict)]
    [InlineData(507, ExitCodes.Quota)]
    [InlineData(500, ExitCodes.Unavailable)]
    public async Task The_status_of_a_problem_decides_the_exit_code(int status, int exit)
    {
        await using var api = await FakeApi.StartAsync(http => FakeApi.RefuseAsync(http, status, "some_code", "because"));
        using var cli = new CliRun();

        (await cli.RunAsync("org", "list", "--json", "--url", api.Url)).ShouldBe(exit);

        cli.Out.ShouldBeEmpty();
        cli.Error.ShouldContain("\"code\": \"some_code\"");
    }

    [Fact]
    public async Task A_post_is_tried_again_under_the_same_idempotency_key()
    {
        var calls = 0;
        await using var api = await FakeApi.StartAsync(http =>
        {
            http.Response.Headers.RetryAfter = "0";
            return ++calls < 3
                ? FakeApi.RefuseAsync(http, 503, ProblemCodes.Unavailable, "starting")
                : FakeApi.AnswerAsync(http, new Org("org_1", "acme", "Acme", "owner", Then), ApiJson.Default.Org, 201);
        });
        using var cli = new CliRun();

        (await cli.RunAsync("org", "create", "acme", "--quiet", "--url", api.Url)).ShouldBe(ExitCodes.Ok);

        cli.Out.ShouldBe("acme\n");
        api.Requests.Count.ShouldBe(3);
        api.Requests.Select(request => request.Headers["Idempotency-Key"]).Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task A_patch_whose_fate_is_unknown_is_not_sent_twice()
    {
        await using var api = await FakeApi.StartAsync(http =>
        {
            http.Response.Headers.RetryAfter = "0";
            http.Response.Headers.ETag = "\"7\"";
            return http.Request.Method == "GET"
                ? FakeApi.AnswerAsync(http, Ada, ApiJson.Default.User)
                : FakeApi.RefuseAsync(http, 502, ProblemCodes.Unavailable, "lost");
        });
        using var cli = new CliRun();

        (await cli.RunAsync("user", "disable", "ada", "--url", api.Url)).ShouldBe(ExitCodes.Unavailable);

        var patch = api.Requests.Single(request => request.Method == "PATCH");
        patch.Headers["If-Match"].ShouldBe("\"7\"");
    }

    [Fact]
    public async Task Lists_walk_all_pages_and_are_tab_separated_when_piped()
    {
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(
            http,
            http.Request.Query.ContainsKey("pageToken")
                ? new Page<Org>([new Org("org_2", "beta", "Be\tta\e[31m", null, Then)], null)
                : new Page<Org>([new Org("org_1", "acme", "Acme", "owner", Then)], "next"),
            ApiJson.Default.PageOrg));
        using var cli = new CliRun();

        (await cli.RunAsync("org", "list", "--url", api.Url)).ShouldBe(ExitCodes.Ok);

        cli.Out.ShouldBe("acme\tAcme\towner\t2026-11-01T00:00:00Z\nbeta\tBe ta\ufffd[31m\t\t2026-11-01T00:00:00Z\n");
    }

    [Fact]
    public async Task Cache_use_merges_into_the_files_and_leaves_the_rest()
    {
        var cache = new Cache("cache_1", "acme", "main", "default", "http://cache.example:7474/nix/acme/main", false, 41, "strict", ["acme-main-1:key="], 0, 0, 0, Then);
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(http, cache, ApiJson.Default.Cache));
        using var cli = new CliRun { Input = "slp_u_secret\n" };
        var conf = cli.HomeFile(".config/nix/nix.conf");
        var netrc = cli.HomeFile(".config/nix/netrc");
        await File.WriteAllTextAsync(conf, "# mine\nextra-substituters = https://a.example # keep\n", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(netrc, "machine git.example\n  login me password secret\ndefault login x password y\n", TestContext.Current.CancellationToken);

        (await cli.RunAsync("cache", "use", "acme/main", "--key-stdin", "--write", "--url", api.Url)).ShouldBe(ExitCodes.Ok);
        (await cli.RunAsync("cache", "use", "acme/main", "--key-stdin", "--write", "--url", api.Url)).ShouldBe(ExitCodes.Ok);

        (await File.ReadAllTextAsync(conf, TestContext.Current.CancellationToken)).ShouldBe(
            $"# mine\nextra-substituters = https://a.example {cache.Url} # keep\nextra-trusted-public-keys = acme-main-1:key=\nnetrc-file = {netrc}\n");
        (await File.ReadAllTextAsync(netrc, TestContext.Current.CancellationToken)).ShouldBe(
            "machine git.example\n  login me password secret\nmachine cache.example login slipway password slp_u_secret\ndefault login x password y\n");
        File.GetUnixFileMode(netrc).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }
}
