using System.Text.Json.Nodes;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Contexts;

/// <summary><c>slipway context show</c>: which server a command would talk to, as whom, and why.</summary>
internal sealed class ContextShow() : Verb("show", "Show which server commands talk to, and where each value comes from")
{
    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var connection = run.Connection;
        var url = connection.Url.GetLeftPart(UriPartial.Authority);
        if (run.Json)
        {
            run.Out.WriteLine(new JsonObject
            {
                ["url"] = url,
                ["urlFrom"] = connection.UrlFrom,
                ["tokenFrom"] = connection.TokenFrom,
                ["org"] = connection.Org,
                ["context"] = connection.ContextName,
                ["file"] = run.Contexts.FilePath,
            }.ToJsonString(CliJson.Indented.Options));
            return Task.FromResult(ExitCodes.Ok);
        }

        new Fields()
            .Add("context", connection.ContextName ?? "none")
            .Add("url", $"{url} ({connection.UrlFrom})", url)
            .Add("token", connection.Token is null ? "none" : $"present ({connection.TokenFrom})", connection.TokenFrom)
            .Add("user", connection.Context?.User)
            .Add("org", connection.Org ?? "none")
            .Add("file", run.Contexts.FilePath)
            .Write(run.Terminal);
        return Task.FromResult(ExitCodes.Ok);
    }
}
