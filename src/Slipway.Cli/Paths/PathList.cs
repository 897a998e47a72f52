using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Paths;

/// <summary><c>slipway path list CACHE</c></summary>
internal sealed class PathList : Verb
{
    private readonly Argument<string> cache;

    public PathList()
        : base("list", "List the store paths in a cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        await run.WriteListAsync(
            run.Client.ListPathsAsync(org, name, cancellationToken),
            json => json.PageNixPath,
            path => path.StorePath,
            new Table<NixPath>()
                .Add("PATH", path => path.StorePath)
                .Number("NAR SIZE", path => Figures.Bytes(path.NarSize), path => path.NarSize.ToString(CultureInfo.InvariantCulture))
                .Number("STORED", path => Figures.Bytes(path.FileSize), path => path.FileSize.ToString(CultureInfo.InvariantCulture))
                .Add("PUSHED BY", path => path.PushedBy)
                .When("WHEN", path => path.PushedAt, run.Now),
            $"nothing in {org}/{name} yet: slipway push {org}/{name} PATH");
        return ExitCodes.Ok;
    }
}
