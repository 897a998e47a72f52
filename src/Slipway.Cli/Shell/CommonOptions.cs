using System.CommandLine;

namespace Slipway.Cli.Shell;

/// <summary>Options every command takes.</summary>
internal static class CommonOptions
{
    public static Option<string?> Url { get; } = new("--url")
    {
        Description = "Server to talk to [env: SLIPWAY_URL; then the context; then http://127.0.0.1:7474]", HelpName = "URL", Recursive = true,
    };

    public static Option<string?> Context { get; } = new("--context")
    {
        Description = "Context to use instead of the current one [env: SLIPWAY_CONTEXT]", HelpName = "NAME", Recursive = true,
    };

    public static Option<string?> TokenFile { get; } = new("--token-file")
    {
        Description = "File with a session token or key [env: SLIPWAY_TOKEN holds the token itself]", HelpName = "FILE", Recursive = true,
    };

    public static Option<bool> Json { get; } = new("--json")
    {
        Description = "Print the API's objects as JSON", Arity = ArgumentArity.Zero, Recursive = true,
    };

    public static Option<bool> Quiet { get; } = new("--quiet", "-q")
    {
        Description = "Print names or ids only, and no notes", Arity = ArgumentArity.Zero, Recursive = true,
    };

    public static Option<bool> Help { get; } = new("--help", "-h")
    {
        Description = "Show this help", Arity = ArgumentArity.Zero, Recursive = true,
    };

    public static IReadOnlyList<Option> All { get; } = [Url, Context, TokenFile, Json, Quiet, Help];
}
