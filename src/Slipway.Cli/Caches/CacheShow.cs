using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Caches;

/// <summary><c>slipway cache show CACHE</c></summary>
internal sealed class CacheShow : Verb
{
    private readonly Argument<string> cache;

    public CacheShow()
        : base("show", "Show a cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        var found = await run.Client.GetCacheAsync(org, name, cancellationToken);
        run.Write(found.Value, json => json.Cache, one => $"{one.Org}/{one.Name}", one => Print(one, run));
        return ExitCodes.Ok;
    }

    public static void Print(Cache cache, Invocation run) => new Fields()
        .Add("cache", $"{cache.Org}/{cache.Name}")
        .Add("url", cache.Url)
        .Add("access", cache.Public ? "public" : "private")
        .Add("public key", cache.PublicKeys)
        .Add("priority", cache.Priority.ToString(CultureInfo.InvariantCulture))
        .Add("reference check", cache.ReferenceCheck)
        .Add("store", cache.Store)
        .Add("paths", Figures.Count(cache.Paths), cache.Paths.ToString(CultureInfo.InvariantCulture))
        .Add("nar size", Figures.Bytes(cache.NarBytes), cache.NarBytes.ToString(CultureInfo.InvariantCulture))
        .Add("stored", Figures.Bytes(cache.FileBytes), cache.FileBytes.ToString(CultureInfo.InvariantCulture))
        .Add("id", cache.Id)
        .When("created", cache.CreatedAt, run.Now)
        .Write(run.Terminal);
}
