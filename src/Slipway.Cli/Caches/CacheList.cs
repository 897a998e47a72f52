using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Caches;

/// <summary><c>slipway cache list</c></summary>
internal sealed class CacheList : Verb
{
    private readonly Option<string?> org;

    public CacheList()
        : base("list", "List the caches of an org")
    {
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListCachesAsync(run.Org(org), cancellationToken),
            json => json.PageCache,
            cache => $"{cache.Org}/{cache.Name}",
            new Table<Cache>()
                .Add("CACHE", cache => $"{cache.Org}/{cache.Name}")
                .Add("ACCESS", cache => cache.Public ? "public" : "private")
                .Number("PATHS", cache => Figures.Count(cache.Paths), cache => cache.Paths.ToString(CultureInfo.InvariantCulture))
                .Number("NAR SIZE", cache => Figures.Bytes(cache.NarBytes), cache => cache.NarBytes.ToString(CultureInfo.InvariantCulture))
                .Number("STORED", cache => Figures.Bytes(cache.FileBytes), cache => cache.FileBytes.ToString(CultureInfo.InvariantCulture))
                .Number("PRIORITY", cache => cache.Priority.ToString(CultureInfo.InvariantCulture), cache => cache.Priority.ToString(CultureInfo.InvariantCulture))
                .Add("STORE", cache => cache.Store)
                .Add("URL", cache => cache.Url),
            "no caches yet: slipway cache create NAME");
        return ExitCodes.Ok;
    }
}
