using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Contexts;

/// <summary><c>slipway context list</c></summary>
internal sealed class ContextList() : Verb("list", "List the servers you know")
{
    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var saved = run.Contexts.Read();
        if (run.Json)
        {
            run.Out.WriteLine(System.Text.Json.JsonSerializer.Serialize(saved, ContextJson.Default.SavedContexts));
        }
        else if (run.Quiet)
        {
            foreach (var name in saved.Contexts.Keys)
            {
                run.Out.WriteLine(name);
            }
        }
        else if (saved.Contexts.Count == 0)
        {
            run.Terminal.Say("no contexts yet: slipway login makes one");
        }
        else
        {
            new Table<KeyValuePair<string, SavedContext>>()
                .Add("", pair => pair.Key == saved.Current ? "*" : "")
                .Add("NAME", pair => pair.Key)
                .Add("URL", pair => pair.Value.Url)
                .Add("USER", pair => pair.Value.User ?? "")
                .Add("ORG", pair => pair.Value.Org ?? "")
                .Add("SIGNED IN", pair => run.Contexts.TokenOf(pair.Key) is null ? "no" : "yes")
                .Write(saved.Contexts, run.Terminal);
        }

        return Task.FromResult(ExitCodes.Ok);
    }
}
