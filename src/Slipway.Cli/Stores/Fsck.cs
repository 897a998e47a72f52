using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store fsck [NAME]</c>, and <c>slipway fsck</c>: compares a store, or all, with what is known of it.</summary>
internal sealed class Fsck : Verb
{
    private readonly Argument<string?> name;
    private readonly Option<string?> store;
    private readonly Option<bool> deep;

    public Fsck()
        : base("fsck", "Check stores against their indexes and what refers to them (superusers only)")
    {
        name = new Argument<string?>("NAME") { Description = "Only this store; all of them unless given", Arity = ArgumentArity.ZeroOrOne };
        Add(name);
        store = Text("--store", "NAME", "The same as NAME");
        deep = Flag("--deep", "Read every blob as well, and check it against its hash or checksum");
    }

    public override string Remarks =>
        "Changes nothing. Without --deep it looks at segments, indexes, files and references, which takes seconds; with it every byte is read, as fast as the disk gives it. "
        + "slipway store scrub reads everything too, at a rate you choose, and sets aside what has rotted. With --json each store's report is one line. Exit code 1 when something is wrong.";

    public override IReadOnlyList<string> Examples => ["store fsck", "store fsck buildcache --deep"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var names = new List<string>();
        if ((run.Get(name) ?? run.Get(store)) is { } one)
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
        foreach (var each in names)
        {
            var report = await run.Client.FsckAsync(each, run.Get(deep), cancellationToken);
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
        var paths = report.PathsChecked > 0 ? $", {Figures.Count(report.PathsChecked, "path")}" : "";
        run.Out.WriteLine(
            $"{(report.Clean ? style.Green("✓") : style.Red("✗"))} {style.Bold(Printable.Text(report.Store))}: {Figures.Count(report.BlobsChecked, "blob")}"
            + $"{(report.Deep ? $" ({Figures.Bytes(report.BytesChecked)} read)" : "")}{paths}, {(report.Clean ? "clean" : "damaged")}");
        Faults("fault", report.Findings, run);
        Faults("corrupt blob", report.CorruptBlobs, run);
        Faults("missing blob", report.MissingBlobs, run);
        Faults("dangling reference", report.DanglingReferences, run);
        if (report.Faults > report.Findings.Count)
        {
            run.Out.WriteLine($"  and {Figures.Count(report.Faults - report.Findings.Count, "fault")} more");
        }

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
