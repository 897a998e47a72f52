using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>--cache</c> of verbs whose argument is something in a cache. When the default org has just one, that one is meant.</summary>
internal sealed class CacheOption
{
    private readonly Option<string?> option;

    public CacheOption(Command verb, string description)
    {
        option = new Option<string?>("--cache") { Description = description + "; the only one of the default org unless given", HelpName = "CACHE" };
        verb.Add(option);
    }

    /// <summary>Org, cache, and the sub-namespace below it (empty: none).</summary>
    public async Task<(string Org, string Name, string Sub)> ResolveAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(option) is { } text)
        {
            var parts = text.Split('/', 3);
            var (org, name) = run.BuildCache(string.Join('/', parts.Take(2)));
            return (org, name, parts.Length > 2 ? parts[2] : "");
        }

        var only = run.Connection.Org ?? throw CliFailure.Usage("which build cache?", "slipway … --cache ORG/NAME", "slipway org use ORG   (makes it the default)");
        var names = new List<string>();
        await foreach (var cache in run.Client.ListBuildCachesAsync(only, cancellationToken))
        {
            names.Add(cache.Name);
        }

        return names is [var one]
            ? (only, one, "")
            : throw CliFailure.Usage(names.Count == 0 ? $"{only} has no build cache" : $"{only} has {names.Count} build caches: which one?", names.Count == 0 ? $"slipway buildcache create {only}/main" : $"slipway … --cache {only}/{names[0]}");
    }
}
