using System.CommandLine;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Meta;

/// <summary>
/// <c>slipway up</c> and <c>slipway config</c> belong to the server program; the <c>./slipway</c> launcher hands them to it. Here they
/// are named so that help and completion know them.
/// </summary>
internal sealed class ServerCommand : Verb
{
    private readonly string name;

    public ServerCommand(string name, string summary)
        : base(name, summary)
    {
        this.name = name;
        Add(new Argument<string[]>("ARGUMENTS") { Arity = ArgumentArity.ZeroOrMore, Description = "Passed on to the server program", CaptureRemainingTokens = true });
    }

    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken) =>
        throw new CliFailure(ExitCodes.Failed, "server_command", $"\"{name}\" is done by the server program, which was not called")
        {
            Cause = "this is the client alone; the launcher in the repository calls the one or the other",
            Try = [$"./slipway {name}"],
        };
}
