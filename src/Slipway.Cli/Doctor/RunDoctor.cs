using System.Text.Json.Nodes;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Doctor;

/// <summary><c>slipway doctor</c>: server, credential and nix, each line with a fix when it is not well.</summary>
internal sealed class RunDoctor() : Verb("doctor", "Check server, credential and nix, with a fix for each fault")
{
    public override string Remarks => "Exit code 1 when a line is red.";

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        await foreach (var finding in CheckAsync(run, cancellationToken))
        {
            findings.Add(finding);
            if (!run.Json && !(run.Quiet && finding.Verdict == Verdict.Good))
            {
                Print(finding, run);
            }
        }

        var bad = findings.Count(finding => finding.Verdict == Verdict.Bad);
        if (run.Json)
        {
            run.Out.WriteLine(new JsonObject
            {
                ["healthy"] = bad == 0,
                ["checks"] = new JsonArray([.. findings.Select(finding => (JsonNode)new JsonObject
                {
                    ["check"] = finding.Check,
                    ["verdict"] = finding.Verdict switch { Verdict.Good => "good", Verdict.Warning => "warning", _ => "bad" },
                    ["says"] = finding.Says,
                    ["fix"] = finding.Fix,
                })]),
            }.ToJsonString(CliJson.Indented.Options));
        }

        return bad == 0 ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static async IAsyncEnumerable<Finding> CheckAsync(
        Invocation run, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var server = new ServerChecks(run);
        await foreach (var finding in server.RunAsync(cancellationToken))
        {
            yield return finding;
        }

        await foreach (var finding in new NixChecks(new NixProgram(run.Environment, storeRoot: null)).RunAsync(server.Caches, cancellationToken))
        {
            yield return finding;
        }
    }

    private static void Print(Finding finding, Invocation run)
    {
        const int Column = 14;
        var style = run.Terminal.OutStyle;
        var mark = finding.Verdict switch
        {
            Verdict.Good => style.Green("✓"),
            Verdict.Warning => style.Yellow("!"),
            _ => style.Red("✗"),
        };
        run.Out.WriteLine($"{mark} {style.Bold(finding.Check.PadRight(Column))} {Printable.Text(finding.Says)}");
        if (finding.Fix is { } fix && finding.Verdict != Verdict.Good)
        {
            run.Out.WriteLine($"  {new string(' ', Column)} {style.Dim("fix:")} {style.Cyan(Printable.Text(fix))}");
        }

        run.Out.Flush();
    }
}
