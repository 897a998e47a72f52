using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Contexts;

/// <summary><c>slipway context delete NAME</c></summary>
internal sealed class ContextDelete : Verb
{
    private readonly Argument<string> name;

    public ContextDelete()
        : base("delete", "Forget a server and its token (the session there stays; see logout)")
    {
        name = Positional("NAME", "Name of the context");
    }

    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        KnownContext.Require(run.Contexts.Read(), run.Get(name));
        run.Contexts.Delete(run.Get(name));
        run.Done($"forgot {run.Get(name)}");
        return Task.FromResult(ExitCodes.Ok);
    }
}
