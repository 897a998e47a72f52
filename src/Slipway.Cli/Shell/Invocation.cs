using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Contexts;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Shell;

/// <summary>What a running <see cref="Verb"/> has at hand: its values, the terminal, and the server when it asks for it.</summary>
internal sealed class Invocation(ParseResult parse, CliEnvironment environment, Terminal terminal) : IDisposable
{
    private Connection? connection;
    private SlipwayClient? client;
    private readonly List<(string Command, string Why)> nextSteps = [];

    public CliEnvironment Environment { get; } = environment;

    public Terminal Terminal { get; } = terminal;

    public TextWriter Out => Environment.Out;

    public bool Json { get; } = parse.GetValue(CommonOptions.Json);

    public bool Quiet => Terminal.Quiet;

    public DateTimeOffset Now => Environment.Time.GetUtcNow();

    public ContextFile Contexts { get; } = new(environment.ConfigFolder("slipway"));

    public T? Get<T>(Option<T> option) => parse.GetValue(option);

    public T Get<T>(Argument<T> argument) => parse.GetValue(argument)!;

    /// <summary>The server this command talks to; resolved once.</summary>
    public Connection Connection => connection ??= Connection.Resolve(
        Environment, Contexts, parse.GetValue(CommonOptions.Url), parse.GetValue(CommonOptions.Context), parse.GetValue(CommonOptions.TokenFile));

    public string? UrlFlag => parse.GetValue(CommonOptions.Url);

    public string? ContextFlag => parse.GetValue(CommonOptions.Context);

    public string? TokenFileFlag => parse.GetValue(CommonOptions.TokenFile);

    public SlipwayClient Client => client ??= Open(Connection.Url, Connection.Token);

    public SlipwayClient Open(Uri url, string? token) => new(new SlipwayClientOptions
    {
        Url = url,
        Token = token,
        UserAgent = $"slipway-cli/{CliVersion.Text}",
        Time = Environment.Time,
        OnRetry = Retrying,
    });

    // The first quick tries bridge a server's restart; only a wait that is felt is worth a line.
    private void Retrying(RetryNotice notice)
    {
        if (notice.Delay >= TimeSpan.FromSeconds(0.5))
        {
            Terminal.Warn($"{Printable.Text(notice.Reason)}: try {notice.Try + 1} of {notice.MaxTries} in {Figures.Duration(notice.Delay)}");
        }
    }

    public void Dispose() => client?.Dispose();

    /// <summary>The org meant: <c>--org</c>, SLIPWAY_ORG or the context's.</summary>
    public string Org(Option<string?> option) => Get(option) ?? Connection.Org ?? throw NoOrg("--org ORG");

    /// <summary>A cache as typed: <c>org/name</c>, or <c>name</c> in the default org.</summary>
    public (string Org, string Name) Cache(string text) => InOrg(text, "cache", "slipway cache list");

    /// <summary>A build cache as typed: <c>org/name</c>, or <c>name</c> in the default org.</summary>
    public (string Org, string Name) BuildCache(string text) => InOrg(text, "build cache", "slipway buildcache list");

    /// <summary>A work queue as typed: <c>org/name</c>, or <c>name</c> in the default org.</summary>
    public (string Org, string Name) Queue(string text) => InOrg(text, "queue", "slipway jobs queue list");

    private (string Org, string Name) InOrg(string text, string kind, string list) => text.Split('/') switch
    {
        [{ Length: > 0 } org, { Length: > 0 } name] => (org, name),
        [{ Length: > 0 } name] => (Connection.Org ?? throw NoOrg($"ORG/{name}"), name),
        _ => throw CliFailure.Usage($"\"{text}\" does not name a {kind}: write org/name", list),
    };

    private static CliFailure NoOrg(string flag) =>
        new(ExitCodes.Usage, "org_missing", "which org?")
        {
            Cause = "none was named and the context has no default",
            Try = [$"slipway … {flag}", "slipway org use ORG   (makes it the default)"],
        };

    /// <summary>Prints one thing: JSON, its id, or what <paramref name="human"/> makes of it.</summary>
    public void Write<T>(T value, Func<ApiJson, JsonTypeInfo<T>> type, Func<T, string> id, Action<T> human)
    {
        if (Json)
        {
            Out.WriteLine(JsonSerializer.Serialize(value, type(CliJson.Indented)));
        }
        else if (Quiet)
        {
            Out.WriteLine(id(value));
        }
        else
        {
            human(value);
        }
    }

    /// <summary>Prints a list: one JSON page, ids, or a table. <paramref name="none"/> is said on a terminal when it is empty.</summary>
    public async Task WriteListAsync<T>(
        IAsyncEnumerable<T> items, Func<ApiJson, JsonTypeInfo<Page<T>>> type, Func<T, string> id, Table<T> table, string none)
    {
        var all = new List<T>();
        await foreach (var item in items)
        {
            all.Add(item);
        }

        if (Json)
        {
            Out.WriteLine(JsonSerializer.Serialize(new Page<T>(all, null), type(CliJson.Indented)));
        }
        else if (Quiet)
        {
            all.ForEach(item => Out.WriteLine(id(item)));
        }
        else if (all.Count == 0)
        {
            if (Environment.OutIsTerminal)
            {
                Terminal.Say(none);
            }
        }
        else
        {
            table.Write(all, Terminal);
        }
    }

    /// <summary>Says that something was done, unless the output is for programs.</summary>
    public void Done(string text)
    {
        if (!Json)
        {
            Terminal.Done(text);
        }
    }

    /// <summary>A next step to copy; all are shown together when the command has ended well.</summary>
    public void Next(string command, string why)
    {
        if (!Json && Environment.ErrorIsTerminal)
        {
            nextSteps.Add((command, why));
        }
    }

    public void ShowNextSteps() => Terminal.Next(nextSteps);

    /// <summary>Asks for a secret, or reads it from stdin when <paramref name="fromStdin"/>; never from a flag's value.</summary>
    public string Secret(string prompt, bool fromStdin, string stdinFlag)
    {
        if (fromStdin)
        {
            return Environment.In.ReadLine()?.TrimEnd('\r') is { Length: > 0 } line
                ? line
                : throw CliFailure.Usage($"{stdinFlag} was given, and stdin is empty");
        }

        RequireTerminal(stdinFlag);
        Environment.Error.Write($"{prompt}: ");
        return Environment.ReadHidden() is { Length: > 0 } secret
            ? secret
            : throw CliFailure.Usage("nothing was typed", $"slipway … {stdinFlag}");
    }

    /// <summary>A fresh password, typed twice.</summary>
    public string NewPassword(string prompt, bool fromStdin, string stdinFlag)
    {
        var password = Secret(prompt, fromStdin, stdinFlag);
        return fromStdin || Secret($"{prompt} (again)", fromStdin, stdinFlag) == password
            ? password
            : throw CliFailure.Usage("the two passwords differ");
    }

    /// <summary>Before something is gone for good: the name typed again, or <c>--yes</c>.</summary>
    public void Confirm(string what, string name, bool yes)
    {
        if (yes)
        {
            return;
        }

        RequireTerminal("--yes");
        Environment.Error.WriteLine(Terminal.ErrorStyle.Yellow(what));
        Environment.Error.Write($"Type {Terminal.ErrorStyle.Bold(name)} to go on: ");
        if (Environment.In.ReadLine()?.Trim() != name)
        {
            throw new CliFailure(ExitCodes.Failed, "not_confirmed", "nothing was changed") { Cause = "what was typed is not the name" };
        }
    }

    private void RequireTerminal(string flag)
    {
        if (!Environment.InIsTerminal || !Environment.ErrorIsTerminal)
        {
            throw CliFailure.Usage("there is no terminal to ask on", $"slipway … {flag}");
        }
    }
}
