using System.CommandLine;
using System.Globalization;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Paths;

/// <summary><c>slipway path show CACHE PATH</c></summary>
internal sealed class PathShow : Verb
{
    private readonly Argument<string> cache;
    private readonly Argument<string> path;

    public PathShow()
        : base("show", "Show a store path in a cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        path = Positional("PATH", "/nix/store/…, or its hash");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        var found = await run.Client.GetPathAsync(org, name, StorePathName.HashOf(run.Get(path)), cancellationToken);
        run.Write(found.Value, json => json.NixPath, one => one.StorePath, one => new Fields()
            .Add("path", one.StorePath)
            .Add("nar hash", one.NarHash)
            .Add("nar size", Figures.Bytes(one.NarSize), one.NarSize.ToString(CultureInfo.InvariantCulture))
            .Add("stored", $"{Figures.Bytes(one.FileSize)} ({one.Compression})", one.FileSize.ToString(CultureInfo.InvariantCulture))
            .Add("references", one.References)
            .Add("undeclared", one.UndeclaredReferences)
            .Add("deriver", one.Deriver)
            .Add("system", one.System)
            .Add("content address", one.ContentAddress)
            .Add("signatures", one.Signatures)
            .Add("pushed by", $"{one.PushedBy} (via {one.PushedVia})", one.PushedBy)
            .When("pushed", one.PushedAt, run.Now)
            .Write(run.Terminal));
        return ExitCodes.Ok;
    }
}
