using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.BuildCaches;

/// <summary>What <c>buildcache create</c> and <c>buildcache update</c> have in common: an option for each setting.</summary>
internal abstract class BuildCacheSettingsVerb : Verb
{
    private const int MostDays = 3650;

    private readonly Argument<string> cache;
    private readonly Option<long?> quota;
    private readonly Option<TimeSpan?> retention;
    private readonly Option<long?> maxBlob;
    private readonly Option<string?> validate;
    private readonly Option<string[]> assetHosts;

    protected BuildCacheSettingsVerb(string name, string summary)
        : base(name, summary)
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        quota = Size("--quota", "Bytes it may take on disk; 0: as much as the store has (stage paid)", least: 0);
        retention = Duration("--retention", "What nobody used for so long goes; 0: only the quota decides", TimeSpan.Zero, TimeSpan.FromDays(MostDays));
        maxBlob = Size("--max-blob", "The largest blob it takes", least: 1);
        validate = Choice("--validate-actions", "Refuse over HTTP what is no action result, or refers to what is not here; off for ccache in Bazel's layout", ["on", "off"]);
        assetHosts = new Option<string[]>("--asset-host") { Description = "A host the Remote Asset API may fetch from, such as *.example.org; may be given several times", HelpName = "HOST" };
        Add(assetHosts);
    }

    protected (string Org, string Name) Named(Invocation run) => run.BuildCache(run.Get(cache));

    protected long? Quota(Invocation run) => run.Get(quota);

    protected int? RetentionDays(Invocation run) => run.Get(retention) switch
    {
        null => null,
        { } time when time.Ticks % TimeSpan.TicksPerDay == 0 => (int)time.TotalDays,
        _ => throw CliFailure.Usage("--retention is in whole days", "slipway … --retention 30d"),
    };

    protected long? MaxBlob(Invocation run) => run.Get(maxBlob);

    protected bool? Validate(Invocation run) => run.Get(validate) switch { null => null, var word => word == "on" };

    protected string[]? AssetHosts(Invocation run) => run.Get(assetHosts) is { Length: > 0 } hosts ? hosts : null;
}
