using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Caches.SigningKeys;

/// <summary><c>slipway cache key rotate CACHE</c></summary>
internal sealed class SigningKeyRotate : Verb
{
    private readonly Argument<string> cache;

    public SigningKeyRotate()
        : base("rotate", "Sign with a new key as well; the old ones go on until retired")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        var key = await run.Client.RotateSigningKeyAsync(org, name, cancellationToken);
        run.Write(key, json => json.SigningKey, one => one.Name, one => new Fields()
            .Add("name", one.Name)
            .Add("public key", one.PublicKey)
            .Add("status", one.Status)
            .Write(run.Terminal));
        run.Done($"{org}/{name} is signed with {key.Name} too");
        run.Next($"slipway cache use {org}/{name} --write", "on every machine: trust the new key");
        run.Next($"slipway cache key retire {org}/{name} OLD-KEY", "afterwards");
        return ExitCodes.Ok;
    }
}
