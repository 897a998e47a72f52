using System.Text.Json;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Shell;

/// <summary>
/// Every failure in one form, on stderr:
/// <code>
/// error[not_found]: there is no cache acme/mian
/// cause: …
/// try: slipway cache list
/// request-id: 0HN…
/// </code>
/// With <c>--json</c> it is the problem object instead.
/// </summary>
internal static class ErrorReport
{
    public static bool Knows(Exception exception, CancellationToken cancellationToken) => exception switch
    {
        CliFailure or SlipwayApiException or SlipwayUnreachableException or IOException or InvalidDataException or UnauthorizedAccessException => true,
        OperationCanceledException => cancellationToken.IsCancellationRequested,
        _ => false,
    };

    /// <returns>The exit code.</returns>
    public static int Write(Exception exception, Terminal terminal, bool json)
    {
        switch (exception)
        {
            case CliFailure failure:
                Print(terminal, json, failure.Code, failure.Message, failure.Cause, failure.Try, requestId: null, ofServer: null);
                return failure.ExitCode;
            case SlipwayApiException { Problem: var problem }:
                Print(terminal, json, problem.Code, What(problem), Cause(problem), Tries(problem), problem.RequestId, problem);
                return ExitCodes.Of(problem);
            case SlipwayUnreachableException unreachable:
                Print(
                    terminal, json, unreachable.Reason == UnreachableReason.NotSlipway ? "not_slipway" : ProblemCodes.Unavailable, unreachable.Message,
                    cause: null, Tries(unreachable), requestId: null, ofServer: null);
                return ExitCodes.Of(unreachable);
            case OperationCanceledException:
                terminal.Environment.Error.WriteLine(terminal.ErrorStyle.Yellow("stopped"));
                return ExitCodes.Interrupted;
            default:
                Print(terminal, json, "io", exception.Message, cause: null, tries: [], requestId: null, ofServer: null);
                return ExitCodes.Failed;
        }
    }

    private static string What(Problem problem) => problem.Detail ?? problem.Title;

    private static string? Cause(Problem problem) =>
        problem.Errors is { Count: > 0 } faults ? string.Join("; ", faults.Select(fault => $"{fault.Pointer.TrimStart('/')}: {fault.Detail}")) : null;

    private static IReadOnlyList<string> Tries(Problem problem) => problem.Code switch
    {
        // Before the server's own hint, which speaks to every kind of client.
        ProblemCodes.SignInRequired or ProblemCodes.CredentialInvalid or ProblemCodes.CredentialExpired or ProblemCodes.CredentialRevoked =>
            ["slipway login --user NAME", "slipway login --local   (when the server runs on this machine)"],
        _ when problem.Hint is { } hint => [hint],
        ProblemCodes.NotFound when problem.Instance?.Split('/') is ["", "v1", "orgs", var org, var kind, ..] => kind switch
        {
            "caches" => [$"slipway cache list --org {org}", "slipway org list"],
            "queues" => [$"slipway jobs queue list --org {org}", "slipway org list"],
            "service-accounts" => [$"slipway service-account list --org {org}"],
            _ => [],
        },
        ProblemCodes.NotFound when problem.Instance?.StartsWith("/v1/orgs/", StringComparison.Ordinal) == true => ["slipway org list"],
        ProblemCodes.SessionRequired => ["slipway login --user NAME   (a key may not do this, a session may)"],
        ProblemCodes.ScopeMissing => ["slipway key scopes", "slipway key issue NAME --scope SCOPE"],
        ProblemCodes.Forbidden => ["slipway whoami   (shows your roles)"],
        ProblemCodes.PreconditionFailed => ["the same command again: somebody changed it in between"],
        _ when problem.Status is 429 or >= 500 => ["the same command again in a while", "slipway doctor"],
        _ => [],
    };

    private static IReadOnlyList<string> Tries(SlipwayUnreachableException failure) => failure.Reason switch
    {
        UnreachableReason.Refused => ["./slipway up   (starts a server here)", "slipway … --url URL, or SLIPWAY_URL=URL, for a server elsewhere"],
        UnreachableReason.NameUnknown or UnreachableReason.NotSlipway => ["slipway context show   (where the URL comes from)"],
        _ => ["slipway doctor"],
    };

    private static void Print(
        Terminal terminal, bool json, string code, string what, string? cause, IReadOnlyList<string> tries, string? requestId, Problem? ofServer)
    {
        var error = terminal.Environment.Error;
        var style = terminal.ErrorStyle;
        if (json)
        {
            var problem = ofServer ?? new Problem { Title = what, Status = 0, Code = code, Detail = cause, Hint = tries.Count > 0 ? tries[0] : null };
            error.WriteLine(JsonSerializer.Serialize(problem, CliJson.Indented.Problem));
            return;
        }

        error.WriteLine($"{style.Red(style.Bold("error"))}{style.Red($"[{code}]")}: {Printable.Text(what)}");
        if (cause is not null)
        {
            error.WriteLine($"{style.Dim("cause:")} {Printable.Text(cause)}");
        }

        foreach (var line in tries)
        {
            error.WriteLine($"{style.Dim("try:")} {style.Cyan(Printable.Text(terminal.AsTyped(line)))}");
        }

        if (requestId is not null)
        {
            error.WriteLine($"{style.Dim("request-id:")} {Printable.Text(requestId)}");
        }
    }
}
