using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store compact NAME</c></summary>
internal sealed class StoreCompact : Verb
{
    private static readonly TimeSpan ShowEvery = TimeSpan.FromSeconds(1);

    private readonly Argument<string> name;

    public StoreCompact()
        : base("compact", "Give the dead bytes of a store's segments back to the disk, now (superusers only)")
    {
        name = Positional("NAME", "Name of the store; buildcache is that of the build caches");
    }

    public override string Remarks =>
        "Rewrites each segment that is more than 5 % dead; nothing that can be found is lost. The server does the same by itself at 50 %. Ctrl-C stops it; what was given back by then stays so.";

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var store = run.Get(name);
        var work = run.Client.CompactStoreAsync(store, cancellationToken);
        var live = run.Environment.ErrorIsTerminal && !run.Json && !run.Quiet;
        try
        {
            while (live && await Task.WhenAny(work, Task.Delay(ShowEvery, run.Environment.Time, cancellationToken)) != work)
            {
                var now = await run.Client.GetStoreStatsAsync(store, 0, cancellationToken);
                run.Environment.Error.Write($"\r{Figures.Bytes(now.StoredBytes)} stored, {Figures.Bytes(now.DeadBytes)} of them dead {run.Terminal.ErrorStyle.Dim("Ctrl-C stops it")}\e[K");
            }
        }
        finally
        {
            if (live)
            {
                run.Environment.Error.Write("\r\e[K");
            }
        }

        var done = await work;
        run.Write(
            done, json => json.StoreCompaction, one => one.Store,
            one => run.Out.WriteLine(
                $"{run.Terminal.OutStyle.Bold(Printable.Text(one.Store))}: {Figures.Bytes(one.StoredBefore)} before, {Figures.Bytes(one.StoredAfter)} after; dead {Figures.Bytes(one.DeadBefore)} before, {Figures.Bytes(one.DeadAfter)} after"));
        run.Done($"gave back {Figures.Bytes(done.BytesGivenBack)}");
        return ExitCodes.Ok;
    }
}
