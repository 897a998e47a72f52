using Slipway.Cli.Shell;

namespace Slipway.Cli.Contexts;

/// <summary>
/// Which server, as whom: flag, then environment, then context, then the default, each value with where it came from.
/// </summary>
internal sealed record Connection(Uri Url, string UrlFrom, string? Token, string TokenFrom, string? Org, string? ContextName, SavedContext? Context)
{
    public const string DefaultUrl = "http://127.0.0.1:7474";

    public static Connection Resolve(CliEnvironment environment, ContextFile file, string? urlFlag, string? contextFlag, string? tokenFile)
    {
        var saved = file.Read();
        var (name, nameFrom) = contextFlag is not null ? (contextFlag, "--context")
            : environment.Variable("SLIPWAY_CONTEXT") is { } fromEnvironment ? (fromEnvironment, "SLIPWAY_CONTEXT")
            : (saved.Current, "context");
        var context = name is null ? null : saved.Contexts.GetValueOrDefault(name);
        if (context is null && nameFrom != "context")
        {
            throw new CliFailure(ExitCodes.Usage, "unknown_context", $"there is no context \"{name}\" ({nameFrom})")
            {
                Cause = UsageErrors.Nearest(name!, saved.Contexts.Keys) is { } near ? $"did you mean {near}?" : null,
                Try = ["slipway context list"],
            };
        }

        var (text, urlFrom) = urlFlag is not null ? (urlFlag, "--url")
            : contextFlag is not null ? (context!.Url, $"context {name}")
            : environment.Variable("SLIPWAY_URL") is { } url ? (url, "SLIPWAY_URL")
            : context is not null ? (context.Url, $"context {name}")
            : (DefaultUrl, "default");
        var server = ParseUrl(text, urlFrom);

        // A stored token goes to the server it came from and to no other, whatever --url says.
        var owner = context is not null && SameServer(context, server) ? name
            : saved.Contexts.FirstOrDefault(pair => SameServer(pair.Value, server)).Key;
        var (token, tokenFrom) = tokenFile is not null ? (ReadTokenFile(tokenFile), "--token-file")
            : contextFlag is null && environment.Variable("SLIPWAY_TOKEN") is { } fromVariable ? (fromVariable, "SLIPWAY_TOKEN")
            : owner is not null && file.TokenOf(owner) is { } stored ? (stored, $"context {owner}")
            : (null, "none");
        var known = owner is null ? null : saved.Contexts[owner];
        return new Connection(server, urlFrom, token, tokenFrom, environment.Variable("SLIPWAY_ORG") ?? known?.Org, owner, known);
    }

    public static Uri ParseUrl(string text, string from)
    {
        if (Uri.TryCreate(text, UriKind.Absolute, out var url)
            && url.Scheme is "http" or "https" && url.PathAndQuery == "/" && url.UserInfo.Length == 0 && url.Host.Length > 0)
        {
            return url;
        }

        throw new CliFailure(ExitCodes.Usage, "bad_url", $"\"{text}\" ({from}) is not the URL of a server")
        {
            Cause = "it is http:// or https://, a host, perhaps a port, and nothing more",
            Try = [$"--url {DefaultUrl}"],
        };
    }

    private static bool SameServer(SavedContext context, Uri server) =>
        Uri.TryCreate(context.Url, UriKind.Absolute, out var url)
        && Uri.Compare(url, server, UriComponents.SchemeAndServer, UriFormat.Unescaped, StringComparison.OrdinalIgnoreCase) == 0;

    public static string ReadTokenFile(string path)
    {
        var token = File.ReadAllText(path).Trim();
        return token.Length > 0 && !token.AsSpan().ContainsAnyExceptInRange('!', '~')
            ? token
            : throw new CliFailure(ExitCodes.Usage, "bad_token", $"{path} does not hold a token") { Cause = "a token is one line of printable characters" };
    }
}
