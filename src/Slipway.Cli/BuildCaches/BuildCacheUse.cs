using System.CommandLine;
using System.Text.Json.Nodes;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache use CACHE</c>: the exact lines that make a build tool use a cache.</summary>
internal sealed class BuildCacheUse : Verb
{
    /// <summary>Stands for the key when there is none to print.</summary>
    private const string Placeholder = "KEY";

    private readonly Argument<string> cache;
    private readonly Option<string?> tool;
    private readonly Option<bool> issue;
    private readonly Option<bool> readOnly;
    private readonly Option<bool> keyStdin;

    public BuildCacheUse()
        : base("use", "Print the lines for Bazel, Pants, Buck2, ccache, sccache, turbo, nx, gradle and go")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        tool = Choice("--tool", "Only the lines of this tool", [.. ToolSetup.Tools]);
        issue = Flag("--issue-key", "Issue a key for them");
        readOnly = Flag("--read-only", "Lines, and with --issue-key a key, that read and never write: for machines that are not CI");
        keyStdin = Flag("--key-stdin", "Read the key to print from stdin");
    }

    public override string Remarks =>
        "A key with buildcache:read, write and ac-write fills the cache; one with read alone only takes from it. Bazel before 6.0 stops at a cache it may not "
        + "write to, so there its writes are taken and dropped.\nSub-namespaces need no set-up: use ORG/CACHE/BRANCH as instance name, or behind the cache in the URL.";

    public override IReadOnlyList<string> Examples => ["buildcache use acme/main", "buildcache use acme/main --tool bazel --issue-key", "buildcache use acme/main --tool turbo --key-stdin < key"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(issue) && run.Get(keyStdin))
        {
            throw CliFailure.Usage("--issue-key and --key-stdin can't both be");
        }

        var (org, name) = run.BuildCache(run.Get(cache));
        var found = (await run.Client.GetBuildCacheAsync(org, name, cancellationToken)).Value;
        var key = run.Get(keyStdin) ? run.Secret("Key", fromStdin: true, "--key-stdin").Trim()
            : run.Get(issue) ? await IssueAsync(run, org, name, cancellationToken)
            : Placeholder;
        var setups = ToolSetup.For(found, key, mayWrite: !run.Get(readOnly)).Where(setup => run.Get(tool) is not { } one || one == setup.Tool).ToList();
        if (run.Json)
        {
            run.Out.WriteLine(Object(found, setups).ToJsonString(CliJson.Indented.Options));
            return ExitCodes.Ok;
        }

        Print(run, setups);
        if (found.GrpcUrl is null && setups.Any(setup => setup.Tool is "bazel" or "pants" or "buck2"))
        {
            run.Terminal.Warn("this server does not say where its gRPC is: put its address in for grpc://HOST:7475");
        }

        if (key == Placeholder)
        {
            run.Next($"slipway buildcache use {org}/{name} --issue-key", "the same with a fresh key in the place of KEY");
        }

        return ExitCodes.Ok;
    }

    private async Task<string> IssueAsync(Invocation run, string org, string name, CancellationToken cancellationToken)
    {
        string[] actions = run.Get(readOnly) ? ["read"] : ["read", "write", "ac-write"];
        string[] scopes = [.. actions.SelectMany(action => (string[])[$"buildcache:{action}:{org}/{name}", $"buildcache:{action}:{org}/{name}/*"])];
        var issued = await run.Client.IssueKeyAsync(new IssueKeyRequest($"build-{Environment.MachineName.ToLowerInvariant()}", scopes), cancellationToken);
        run.Done($"issued key {issued.Key.Id} ({string.Join(", ", actions)} on {org}/{name}), ends {Figures.Since(issued.Key.ExpiresAt, run.Now)}");
        return issued.Secret;
    }

    private static void Print(Invocation run, IReadOnlyList<ToolSetup> setups)
    {
        var style = run.Terminal.OutStyle;
        foreach (var (at, setup) in setups.Index())
        {
            if (setups.Count > 1)
            {
                run.Out.WriteLine($"{(at == 0 ? "" : "\n")}{style.Bold($"# {setup.What}")}");
            }

            foreach (var part in setup.Parts)
            {
                run.Out.WriteLine(style.Dim($"# {part.Place}{(part.HoldsKey ? ", yours alone: it holds the key" : "")}"));
                foreach (var line in part.Lines)
                {
                    run.Out.WriteLine(line);
                }
            }
        }
    }

    private static JsonObject Object(BuildCache found, IReadOnlyList<ToolSetup> setups) => new()
    {
        ["instanceName"] = found.InstanceName,
        ["grpcUrl"] = found.GrpcUrl,
        ["httpUrl"] = found.HttpUrl,
        ["tools"] = new JsonObject(setups.Select(setup => KeyValuePair.Create<string, JsonNode?>(setup.Tool, new JsonArray([.. setup.Parts.Select(part => (JsonNode)new JsonObject
        {
            ["place"] = part.Place,
            ["holdsKey"] = part.HoldsKey,
            ["lines"] = new JsonArray([.. part.Lines.Select(line => (JsonNode)JsonValue.Create(line))]),
        })])))),
    };
}
