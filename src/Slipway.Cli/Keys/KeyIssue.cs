using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Keys;

/// <summary><c>slipway key issue NAME --scope …</c>: prints the secret, once.</summary>
internal sealed class KeyIssue : Verb
{
    private readonly Argument<string> name;
    private readonly Option<string[]> scopes;
    private readonly Option<int?> days;
    private readonly Option<string?> account;
    private readonly Option<string?> org;

    public KeyIssue()
        : base("issue", "Issue a key; its secret is shown once")
    {
        name = Positional("NAME", "What the key is for, such as ci-push");
        scopes = new Option<string[]>("--scope", "-s")
        {
            Description = "service:action:pattern, such as nix:push:acme/*; may be given several times",
            HelpName = "SCOPE",
            Required = true,
        };
        Add(scopes);
        days = Number("--days", "N", "Days it is valid; what the server is set to unless given, mostly 90", least: 1, most: 3660);
        account = Text("--service-account", "NAME", "Issue it to a service account of the org instead of to you");
        org = OrgOption();
    }

    public override string Remarks => "stdout gets the secret alone when it is piped, so that it can go straight into a secret store.";

    public override IReadOnlyList<string> Examples =>
    [
        "key issue laptop --scope 'nix:fetch:acme/*'",
        "key issue ci-push --scope 'nix:push:acme/*' --scope 'nix:query:acme/*' --service-account ci --days 30",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var request = new IssueKeyRequest(run.Get(name), run.Get(scopes)!, run.Get(days));
        var issued = run.Get(account) is { } machine
            ? await run.Client.IssueServiceAccountKeyAsync(run.Org(org), machine, request, cancellationToken)
            : await run.Client.IssueKeyAsync(request, cancellationToken);
        run.Write(issued, json => json.IssuedKey, one => one.Secret, one => run.Out.WriteLine(one.Secret));
        run.Done(
            $"issued key {run.Terminal.ErrorStyle.Bold(Printable.Text(issued.Key.Name))} ({issued.Key.Id}) to {Printable.Text(issued.Key.Principal)}, "
            + $"ends {Figures.Since(issued.Key.ExpiresAt, run.Now)}");
        if (!run.Json && run.Environment.ErrorIsTerminal)
        {
            run.Terminal.Warn("the secret is shown only this once");
        }

        if (Lacks(issued.Key.Scopes, "nix:push:", "nix:query:") is { } target)
        {
            run.Terminal.Warn($"it can't do slipway push, only nix copy: add --scope 'nix:query:{Printable.Text(target)}'");
        }

        run.Next("SLIPWAY_TOKEN=… slipway push CACHE PATH", "in CI");
        run.Next("slipway cache use CACHE --key-stdin --write", "for nix on this machine");
        run.Next($"slipway key revoke {issued.Key.Id}", "ends it at once");
        return ExitCodes.Ok;
    }

    /// <summary>The pattern of a scope that begins with <paramref name="one"/>, when none begins with <paramref name="other"/>.</summary>
    private static string? Lacks(IReadOnlyList<string> scopes, string one, string other) =>
        scopes.Any(scope => scope.StartsWith(other, StringComparison.Ordinal)) ? null
        : scopes.FirstOrDefault(scope => scope.StartsWith(one, StringComparison.Ordinal))?[one.Length..];
}
