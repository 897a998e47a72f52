using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary>A scrub as people say it.</summary>
internal static class ScrubWords
{
    public static string Of(StoreScrub? scrub) => scrub switch
    {
        null or { State: "never" } => "never",
        { State: "running" } => Progress(scrub),
        { State: "failed" } => $"failed: {scrub.Error}",
        _ => $"{scrub.State}, {Figures.Bytes(scrub.BytesRead)} read, {(scrub.Faults == 0 ? "nothing rotten" : Figures.Count(scrub.Faults, "fault"))}",
    };

    /// <summary>One word, for a table.</summary>
    public static string Short(StoreScrub? scrub) => scrub is null ? "never" : scrub.Faults > 0 ? Figures.Count(scrub.Faults, "fault") : scrub.State == "done" ? "clean" : scrub.State;

    /// <summary><c>37 %, 3.7 GiB of 10 GiB, 2 faults</c></summary>
    public static string Progress(StoreScrub scrub)
    {
        var past = scrub.BytesRead + scrub.BytesElsewhere;
        // What was put meanwhile is read too.
        var share = scrub.BytesTotal == 0 ? 0 : Math.Min(100, 100 * past / scrub.BytesTotal);
        return string.Create(CultureInfo.InvariantCulture, $"{share} %, {Figures.Bytes(past)} of {Figures.Bytes(scrub.BytesTotal)}{(scrub.Faults > 0 ? $", {Figures.Count(scrub.Faults, "fault")}" : "")}");
    }
}
