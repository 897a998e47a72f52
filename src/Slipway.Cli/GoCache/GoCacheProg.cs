using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.GoCache;

/// <summary><c>slipway gocacheprog CACHE</c>: what <c>GOCACHEPROG</c> starts.</summary>
internal sealed class GoCacheProg : Verb
{
    /// <summary>Go's own cache grows without bound for five days; of a project this holds a few hundred builds.</summary>
    private const long DefaultMaxBytes = 10L << 30;

    private readonly Argument<string> cache;
    private readonly Option<string?> folder;
    private readonly Option<string?> maxSize;

    public GoCacheProg()
        : base("gocacheprog", "Let the go command use a build cache (GOCACHEPROG)")
    {
        cache = Positional("CACHE", "org/name, org/name/branch, or name in the default org");
        folder = Text("--folder", "FOLDER", "Where what was built or fetched is kept on this machine; $XDG_CACHE_HOME/slipway/go unless given");
        maxSize = Text("--max-size", "SIZE", "The folder is trimmed to this size, last used last; 10GiB unless given");
    }

    public override string Remarks =>
        """
        Started by the go command, which talks to it on stdin and stdout. Takes SLIPWAY_URL and SLIPWAY_TOKEN, or the current context.
        When the server can't be reached or refuses, builds go on with the folder alone. Needs buildcache:read; with buildcache:ac-write
        it also uploads.
        """;

    public override IReadOnlyList<string> Examples =>
    [
        "gocacheprog acme/main      (as in: export GOCACHEPROG='slipway gocacheprog acme/main')",
        "gocacheprog acme/main --folder /var/cache/go --max-size 50GiB",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var maxBytes = DefaultMaxBytes;
        if (run.Get(maxSize) is { } text && !Quantities.TrySize(text, out maxBytes))
        {
            throw CliFailure.Usage($"--max-size is a size such as 10GiB, not \"{text}\"");
        }

        var root = run.Get(folder) ?? Path.Combine(
            run.Environment.Variable("XDG_CACHE_HOME") is { } xdg && Path.IsPathRooted(xdg) ? xdg : Path.Combine(run.Environment.Home, ".cache"), "slipway", "go");
        var local = new GoFolder(Path.GetFullPath(root), run.Environment.Time);
        using var remote = new GoRemote(run.Connection.Url, run.Connection.Token, InstanceOf(run), warning => run.Terminal.Warn(Printable.Text(warning)));
        await using (var input = run.Environment.OpenIn())
        {
            await new GoCacheSession(input, run.Out, local, remote).RunAsync(cancellationToken);
        }

        local.Trim(maxBytes);
        return ExitCodes.Ok;
    }

    /// <summary><c>org/cache</c>, and perhaps a sub-namespace behind it.</summary>
    private string InstanceOf(Invocation run)
    {
        var text = run.Get(cache);
        var parts = text.Split('/');
        if (parts.Length == 1)
        {
            var (org, name) = run.Cache(text);
            return $"{org}/{name}";
        }

        return parts.All(part => part.Length > 0) ? text : throw CliFailure.Usage($"\"{text}\" does not name a build cache: write org/name");
    }
}
