using System.CommandLine;
using System.Globalization;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway blob stat DIGEST</c></summary>
internal sealed class BlobShow : Verb
{
    private readonly Argument<string> digest;
    private readonly CacheOption cache;

    public BlobShow()
        : base("stat", "Show how long a blob is, how it is kept and when it was last used")
    {
        digest = Positional("DIGEST", "64 hex digits, perhaps with sha256: or blake3: before and /size behind");
        cache = new CacheOption(this, "org/name, or name in the default org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name, _) = await cache.ResolveAsync(run, cancellationToken);
        var stat = await run.Client.StatBuildBlobAsync(org, name, run.Get(digest), cancellationToken);
        run.Write(stat, json => json.BlobStat, one => one.Digest, one => new Fields()
            .Add("digest", one.Digest)
            .Add("bytes", $"{Figures.Count(one.Bytes)} ({Figures.Bytes(one.Bytes)})", one.Bytes.ToString(CultureInfo.InvariantCulture))
            .Add("stored", one.StoredBytes is { } stored ? $"{Figures.Bytes(stored)} in a segment" : "a file of its own", one.StoredBytes?.ToString(CultureInfo.InvariantCulture) ?? "")
            .Add("compression", one.Compression)
            .When("last used", one.LastUsed, run.Now)
            .Write(run.Terminal));
        return ExitCodes.Ok;
    }
}
