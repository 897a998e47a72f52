using System.Text.Json.Nodes;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Meta;

/// <summary><c>slipway version</c></summary>
internal sealed class ShowVersion() : Verb("version", "Version of this program")
{
    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        run.Out.WriteLine(
            run.Json ? new JsonObject { ["version"] = CliVersion.Text }.ToJsonString(CliJson.Indented.Options)
            : run.Quiet ? CliVersion.Text
            : $"slipway {CliVersion.Text}");
        return Task.FromResult(ExitCodes.Ok);
    }
}
