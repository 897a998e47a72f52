using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Contexts;

/// <summary><c>slipway context use NAME</c></summary>
internal sealed class ContextUse : Verb
{
    private readonly Argument<string> name;

    public ContextUse()
        : base("use", "Make a context the current one")
    {
        name = Positional("NAME", "Name of the context");
    }

    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var wanted = run.Get(name);
        var saved = run.Contexts.Read();
        KnownContext.Require(saved, wanted);
        run.Contexts.Use(wanted);
        run.Done($"now talking to {saved.Contexts[wanted].Url} (context {wanted})");
        return Task.FromResult(ExitCodes.Ok);
    }
}

/// <summary>The check both <c>use</c> and <c>delete</c> make.</summary>
internal static class KnownContext
{
    public static void Require(SavedContexts saved, string name)
    {
        if (!saved.Contexts.ContainsKey(name))
        {
            throw new CliFailure(ExitCodes.NotFound, "unknown_context", $"there is no context \"{name}\"")
            {
                Cause = UsageErrors.Nearest(name, saved.Contexts.Keys) is { } near ? $"did you mean {near}?" : null,
                Try = ["slipway context list"],
            };
        }
    }
}
