using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Caches.SigningKeys;

/// <summary><c>slipway cache key retire CACHE KEY</c></summary>
internal sealed class SigningKeyRetire : Verb
{
    private readonly Argument<string> cache;
    private readonly Argument<string> key;
    private readonly Option<bool> yes;

    public SigningKeyRetire()
        : base("retire", "Stop signing with a key; machines that trust only that one fetch no more")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        key = Positional("KEY", "Name of the key, from slipway cache key list");
        yes = Flag("--yes", "Don't ask");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        run.Confirm($"Machines that trust only {run.Get(key)} will no longer accept paths of {org}/{name}.", run.Get(key), run.Get(yes));
        await run.Client.RetireSigningKeyAsync(org, name, run.Get(key), cancellationToken);
        run.Done($"retired {run.Get(key)}");
        return ExitCodes.Ok;
    }
}
