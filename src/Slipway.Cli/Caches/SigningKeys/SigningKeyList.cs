using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Caches.SigningKeys;

/// <summary><c>slipway cache key list CACHE</c></summary>
internal sealed class SigningKeyList : Verb
{
    private readonly Argument<string> cache;

    public SigningKeyList()
        : base("list", "List the keys that sign a cache's paths")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        await run.WriteListAsync(
            run.Client.ListSigningKeysAsync(org, name, cancellationToken),
            json => json.PageSigningKey,
            key => key.Name,
            new Table<SigningKey>()
                .Add("NAME", key => key.Name)
                .Add("STATUS", key => key.Status)
                .Add("PUBLIC KEY", key => key.PublicKey)
                .When("CREATED", key => key.CreatedAt, run.Now)
                .When("RETIRED", key => key.RetiredAt, run.Now),
            "no signing keys");
        return ExitCodes.Ok;
    }
}
