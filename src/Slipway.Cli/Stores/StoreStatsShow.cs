using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store stats [NAME]</c></summary>
internal sealed class StoreStatsShow : Verb
{
    private const int TopUnlessGiven = 10;

    private readonly Argument<string?> name;
    private readonly Option<int?> top;

    public StoreStatsShow()
        : base("stats", "What stores hold, what that takes, and how sound it is (superusers only)")
    {
        name = new Argument<string?>("NAME") { Description = "One store in full; a line for each unless given", Arity = ArgumentArity.ZeroOrOne };
        Add(name);
        top = Number("--top", "N", "So many of the largest spaces; 10 unless given", 0, 1_000);
    }

    public override string Remarks =>
        "Stored is what quotas are compared with. Dead bytes are of blobs that were evicted or replaced: the server gives them back when half of a segment is dead, slipway store compact at once. "
        + "The store buildcache has a space for each build cache. With --json and no NAME each store is one line.";

    public override IReadOnlyList<string> Examples => ["store stats", "store stats buildcache --top 3", "store stats buildcache --json | jq .deadBytes"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(name) is { } one)
        {
            var stats = await run.Client.GetStoreStatsAsync(one, run.Get(top) ?? TopUnlessGiven, cancellationToken);
            run.Write(stats, json => json.StoreStats, shown => shown.Store, shown => Print(shown, run));
            return ExitCodes.Ok;
        }

        var all = new List<StoreStats>();
        await foreach (var store in run.Client.ListStoresAsync(cancellationToken))
        {
            all.Add(await run.Client.GetStoreStatsAsync(store.Name, run.Get(top) ?? TopUnlessGiven, cancellationToken));
        }

        if (run.Json)
        {
            all.ForEach(stats => run.Out.WriteLine(JsonSerializer.Serialize(stats, CliJson.Lines.StoreStats)));
        }
        else if (run.Quiet)
        {
            all.ForEach(stats => run.Out.WriteLine(stats.Store));
        }
        else
        {
            new Table<StoreStats>()
                .Add("NAME", stats => stats.Store)
                .Number("BLOBS", stats => Figures.Count(stats.Blobs), stats => Plain(stats.Blobs))
                .Number("STORED", stats => Figures.Bytes(stats.StoredBytes), stats => Plain(stats.StoredBytes))
                .Number("DEAD", stats => Figures.Bytes(stats.DeadBytes), stats => Plain(stats.DeadBytes))
                .Number("FREE", stats => Figures.Bytes(stats.FreeBytes), stats => Plain(stats.FreeBytes))
                .Add("SCRUB", stats => ScrubWords.Short(stats.LastScrub))
                .When("SCRUBBED", stats => stats.LastScrub?.EndedAt, run.Now)
                .Write(all, run.Terminal);
        }

        return ExitCodes.Ok;
    }

    private static void Print(StoreStats stats, Invocation run)
    {
        var fields = new Fields()
            .Add("store", stats.Store)
            .Add("path", stats.Path)
            .Add("blobs", Figures.Count(stats.Blobs), Plain(stats.Blobs))
            .Add("logical", Figures.Bytes(stats.LogicalBytes), Plain(stats.LogicalBytes))
            .Add("stored", Figures.Bytes(stats.StoredBytes), Plain(stats.StoredBytes))
            .Add("dead", $"{Figures.Bytes(stats.DeadBytes)}{Share(stats.DeadBytes, stats.StoredBytes)}", Plain(stats.DeadBytes))
            .Add("on disk", Figures.Bytes(stats.DiskBytes), Plain(stats.DiskBytes))
            .Add("free", Figures.Bytes(stats.FreeBytes), Plain(stats.FreeBytes))
            .Add("segments", $"{Figures.Count(stats.Segments.Sealed)} sealed, {Figures.Count(stats.Segments.Open)} open", Plain(stats.Segments.Sealed + stats.Segments.Open))
            .Add("large files", Figures.Count(stats.LargeFiles), Plain(stats.LargeFiles))
            .Add("quarantine", stats.Quarantine.Files == 0 ? "empty" : $"{Figures.Count(stats.Quarantine.Files, "file")}, {Figures.Bytes(stats.Quarantine.Bytes)}", Plain(stats.Quarantine.Files))
            .Add("index memory", Figures.Bytes(stats.IndexBytes), Plain(stats.IndexBytes));
        if (stats.Tier is { } tier)
        {
            fields.Add("bucket", tier.Bucket)
                .Add("shipped", Figures.Bytes(tier.ShippedBytes), Plain(tier.ShippedBytes))
                .Add("to be shipped", Figures.Bytes(tier.WaitingBytes), Plain(tier.WaitingBytes))
                .When("waiting since", tier.WaitingSince, run.Now)
                .Add("local", Figures.Bytes(tier.LocalBytes), Plain(tier.LocalBytes))
                .Add("other servers", Figures.Count(tier.OtherServers), Plain(tier.OtherServers))
                .Add("bucket problem", tier.Problem)
                .When("failing since", tier.FailingSince, run.Now);
        }

        fields.Add("scrub", ScrubWords.Of(stats.LastScrub)).When("scrubbed", stats.LastScrub?.EndedAt, run.Now);
        fields.Add("spaces", Figures.Count(stats.SpaceCount), Plain(stats.SpaceCount)).Write(run.Terminal);
        // On a terminal alone: a pipe gets the fields, and --json has everything.
        if (stats.Spaces.Count > 0 && run.Environment.OutIsTerminal)
        {
            run.Out.WriteLine();
            new Table<StoreSpace>()
                .Add("SPACE", space => space.Name ?? space.Owner)
                .Number("BLOBS", space => Figures.Count(space.Blobs), space => Plain(space.Blobs))
                .Number("STORED", space => Figures.Bytes(space.StoredBytes), space => Plain(space.StoredBytes))
                .Number("LIVE", space => Figures.Bytes(space.LiveBytes), space => Plain(space.LiveBytes))
                .Number("SEGMENTS", space => Figures.Count(space.Segments), space => Plain(space.Segments))
                .Number("LARGE", space => Figures.Count(space.LargeFiles), space => Plain(space.LargeFiles))
                .Write(stats.Spaces, run.Terminal);
        }

        if (stats.LastScrub is { Faults: > 0 })
        {
            run.Next($"slipway store scrub {stats.Store} --last", "what the last scrub found");
        }
    }

    private static string Share(long part, long whole) => part == 0 || whole == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $" ({100.0 * part / whole:0.#} %)");

    private static string Plain(long number) => number.ToString(CultureInfo.InvariantCulture);
}
