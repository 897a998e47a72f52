using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway fsck</c>: reads every blob of a store, or of all, and compares.</summary>
internal sealed class Fsck : Verb
{
    private readonly Option<string?> store;

    public Fsck()
        : base("fsck", "Read every blob and check it against its hash and its paths (superusers only)")
    {
        store = Text("--store", "NAME", "Only this store; all of them unless given");
    }

    public override string Remarks => "With --json each store's report is one line. Exit code 1 when something is wrong.";

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var names = new List<string>();
        if (run.Get(store) is { } one)
        {
            names.Add(one);
        }
        else
        {
            await foreach (var each in run.Client.ListStoresAsync(cancellationToken))
            {
                names.Add(each.Name);
            }
        }

        var clean = true;
        foreach (var name in names)
        {
            var report = await run.Client.FsckAsync(name, cancellationToken);
            clean &= report.Clean;
            if (run.Json)
            {
                run.Out.WriteLine(JsonSerializer.Serialize(report, CliJson.Lines.FsckReport));
            }
            else
            {
                Print(report, run);
            }
        }

        return clean ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static void Print(FsckReport report, Invocation run)
    {
        if (run.Quiet)
        {
            run.Out.WriteLine($"{report.Store}\t{(report.Clean ? "clean" : "damaged")}");
            return;
        }

        var style = run.Terminal.OutStyle;
        run.Out.WriteLine(
            $"{(report.Clean ? style.Green("✓") : style.Red("✗"))} {style.Bold(Printable.Text(report.Store))}: {Figures.Count(report.BlobsChecked, "blob")} "
            + $"({Figures.Bytes(report.BytesChecked)}), {Figures.Count(report.PathsChecked, "path")}, {(report.Clean ? "clean" : "damaged")}");
        Faults("corrupt blob", report.CorruptBlobs, run);
        Faults("missing blob", report.MissingBlobs, run);
        Faults("dangling reference", report.DanglingReferences, run);
        if (report.UnreferencedBlobs > 0)
        {
            run.Out.WriteLine($"  {report.UnreferencedBlobs.ToString(CultureInfo.InvariantCulture)} blobs belong to no path");
        }
    }

    private static void Faults(string what, IReadOnlyList<string> faults, Invocation run)
    {
        foreach (var fault in faults)
        {
            run.Out.WriteLine($"  {run.Terminal.OutStyle.Red(what)}  {Printable.Text(fault)}");
        }
    }
}
