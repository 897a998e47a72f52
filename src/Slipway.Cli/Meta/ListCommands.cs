using System.CommandLine;
using System.Text.Json.Nodes;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Meta;

/// <summary><c>slipway commands</c>: the whole language, for agents and generators.</summary>
internal sealed class ListCommands() : Verb("commands", "All commands, for programs")
{
    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var verbs = Verbs(CommandTree.BuildAll()).ToList();
        if (run.Json)
        {
            run.Out.WriteLine(new JsonObject
            {
                ["commands"] = Array(verbs.Select(Describe)),
                ["commonOptions"] = Array(CommonOptions.All.Select(Describe)),
                ["exitCodes"] = Array(ExitCodes.All.Select(pair => new JsonObject { ["code"] = pair.Code, ["meaning"] = pair.Meaning })),
            }.ToJsonString(CliJson.Indented.Options));
            return Task.FromResult(ExitCodes.Ok);
        }

        foreach (var verb in verbs)
        {
            run.Out.WriteLine(run.Quiet ? UsageErrors.PathOf(verb) : $"{UsageErrors.PathOf(verb)}\t{verb.Description}");
        }

        return Task.FromResult(ExitCodes.Ok);
    }

    public static IEnumerable<Command> Verbs(Command command) =>
        command.Subcommands.Count == 0 ? [command] : command.Subcommands.SelectMany(Verbs);

    private static JsonObject Describe(Command verb) => new()
    {
        ["command"] = UsageErrors.PathOf(verb),
        ["summary"] = verb.Description,
        ["arguments"] = Array(verb.Arguments.Select(argument => new JsonObject
        {
            ["name"] = argument.Name,
            ["description"] = argument.Description,
            ["required"] = argument.Arity.MinimumNumberOfValues > 0,
            ["several"] = argument.Arity.MaximumNumberOfValues > 1,
        })),
        ["options"] = Array(verb.Options.Where(option => !CommonOptions.All.Contains(option)).Select(Describe)),
        ["examples"] = Array(((verb as Verb)?.Examples ?? []).Select(example => (JsonNode)$"slipway {example}")),
    };

    private static JsonObject Describe(Option option) => new()
    {
        ["name"] = option.Name,
        ["aliases"] = Array(option.Aliases.Select(alias => (JsonNode)alias)),
        ["value"] = option.HelpName,
        ["description"] = option.Description,
        ["required"] = option.Required,
    };

    private static JsonArray Array(IEnumerable<JsonNode> nodes) => [.. nodes];
}
