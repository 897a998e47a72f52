using System.CommandLine;
using System.Text.Json.Nodes;
using Slipway.Api;
using Slipway.Cli.Contexts;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Caches;

/// <summary><c>slipway cache use CACHE</c>: what nix needs to know to fetch from a cache; printed, or merged into its files.</summary>
internal sealed class CacheUse : Verb
{
    /// <summary>The server takes the key from the password and does not look at the user name.</summary>
    private const string NetrcLogin = "slipway";

    private readonly Argument<string> cache;
    private readonly Option<bool> write;
    private readonly Option<bool> issue;
    private readonly Option<bool> push;
    private readonly Option<bool> keyStdin;
    private readonly Option<bool> replace;

    public CacheUse()
        : base("use", "Print or write the nix.conf and netrc lines to fetch from a cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        write = Flag("--write", "Merge them into your nix.conf and netrc; other entries stay as they are");
        issue = Flag("--issue-key", "Issue a key for this machine to put into the netrc");
        push = Flag("--push", "With --issue-key: the key may push too (nix copy --to, slipway push)");
        keyStdin = Flag("--key-stdin", "Read the key for the netrc from stdin");
        replace = Flag("--replace", "Replace a netrc entry of this host that is not a Slipway key");
    }

    public override string Remarks =>
        "Nix looks a credential up by host name alone: a netrc entry has no port and no path. One key per host name therefore has to serve all caches "
        + "there; give it the scopes of all of them, or a host name to each cache.";

    public override IReadOnlyList<string> Examples => ["cache use acme/main", "cache use acme/main --issue-key --write", "cache use acme/main --key-stdin --write < key"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(issue) && run.Get(keyStdin))
        {
            throw CliFailure.Usage("--issue-key and --key-stdin can't both be");
        }

        var (org, name) = run.Cache(run.Get(cache));
        var found = (await run.Client.GetCacheAsync(org, name, cancellationToken)).Value;
        var host = new Uri(found.Url).Host;
        var files = NixFiles.For(run.Environment);
        var conf = NixConf.Parse(File.Exists(files.ConfPath) ? await File.ReadAllTextAsync(files.ConfPath, cancellationToken) : "");
        var netrc = Netrc.Parse(File.Exists(files.NetrcPath) ? await File.ReadAllTextAsync(files.NetrcPath, cancellationToken) : "");
        var wantsKey = !found.Public || run.Get(issue) || run.Get(keyStdin);
        if (run.Get(write))
        {
            CheckNetrc(run, netrc, files, host, wantsKey);
        }

        var key = run.Get(keyStdin) ? run.Secret("Key", fromStdin: true, "--key-stdin").Trim()
            : run.Get(issue) ? await IssueAsync(run, org, name, cancellationToken)
            : null;
        if (run.Get(write))
        {
            Write(run, found, host, files, conf, netrc, key);
        }
        else
        {
            Print(run, found, host, files, wantsKey ? key ?? "KEY" : null);
        }

        return ExitCodes.Ok;
    }

    private void CheckNetrc(Invocation run, Netrc netrc, NixFiles files, string host, bool wantsKey)
    {
        var gettingOne = run.Get(issue) || run.Get(keyStdin);
        if (wantsKey && !gettingOne && !netrc.Has(host))
        {
            throw CliFailure.Usage(
                $"the cache is private, and {files.NetrcPath} has no key for {host}",
                $"slipway cache use {run.Get(cache)} --write --issue-key",
                $"slipway cache use {run.Get(cache)} --write --key-stdin < KEY-FILE");
        }

        if (gettingOne && netrc.Has(host) && netrc.PasswordOf(host)?.StartsWith("slp_", StringComparison.Ordinal) != true && !run.Get(replace))
        {
            throw new CliFailure(ExitCodes.Conflict, "netrc_entry", $"{files.NetrcPath} has an entry for {host} that is not a Slipway key")
            {
                Cause = "nix sends one credential per host name, so only one of the two can stay",
                Try = ["the same with --replace, when nothing else needs that entry", "a host name of its own for the cache"],
            };
        }
    }

    private async Task<string> IssueAsync(Invocation run, string org, string name, CancellationToken cancellationToken)
    {
        // One key has to serve all caches behind the host name, so it covers the org's.
        string[] scopes = run.Get(push) ? [$"nix:fetch:{org}/*", $"nix:push:{org}/{name}", $"nix:query:{org}/{name}"] : [$"nix:fetch:{org}/*"];
        var issued = await run.Client.IssueKeyAsync(new IssueKeyRequest($"nix-{Environment.MachineName.ToLowerInvariant()}", scopes), cancellationToken);
        run.Done($"issued key {issued.Key.Id} ({string.Join(' ', scopes)}), ends {Figures.Since(issued.Key.ExpiresAt, run.Now)}");
        return issued.Secret;
    }

    private static void Write(Invocation run, Cache found, string host, NixFiles files, NixConf conf, Netrc netrc, string? key)
    {
        var changed = conf.AddWord("extra-substituters", found.Url);
        foreach (var publicKey in found.PublicKeys)
        {
            changed |= conf.AddWord("extra-trusted-public-keys", publicKey);
        }

        if (key is not null || netrc.Has(host))
        {
            changed |= conf.Words("netrc-file") is not [_] && conf.Set("netrc-file", files.NetrcPath);
        }

        // The credential first: a substituter without it would make nix ask and be refused.
        if (key is not null)
        {
            AtomicFile.Write(files.NetrcPath, netrc.With(host, NetrcLogin, key), AtomicFile.Private);
            run.Done($"wrote the key for {host} to {files.NetrcPath}");
        }

        if (changed)
        {
            AtomicFile.Write(files.ConfPath, conf.ToString(), ModeOf(files.ConfPath));
            run.Done($"wrote {files.ConfPath}");
        }
        else
        {
            run.Done($"{files.ConfPath} has it all already");
        }

        if (run.Json)
        {
            run.Out.WriteLine(Object(found, host, files, netrcWritten: key is not null).ToJsonString(CliJson.Indented.Options));
        }

        run.Next("slipway doctor", "checks that nix takes it (on a multi-user nix only trusted users may add substituters)");
    }

    private static void Print(Invocation run, Cache found, string host, NixFiles files, string? key)
    {
        if (run.Json)
        {
            run.Out.WriteLine(Object(found, host, files, netrcWritten: false).ToJsonString(CliJson.Indented.Options));
            return;
        }

        var style = run.Terminal.OutStyle;
        run.Out.WriteLine(style.Dim($"# {files.ConfPath}"));
        run.Out.WriteLine($"extra-substituters = {found.Url}");
        run.Out.WriteLine($"extra-trusted-public-keys = {string.Join(' ', found.PublicKeys)}");
        if (key is null)
        {
            return;
        }

        run.Out.WriteLine($"netrc-file = {files.NetrcPath}");
        run.Out.WriteLine();
        run.Out.WriteLine(style.Dim($"# {files.NetrcPath} (by host name only: nix looks at no port and no path)"));
        run.Out.WriteLine($"machine {host} login {NetrcLogin} password {key}");
        if (key == "KEY")
        {
            run.Next($"slipway cache use {found.Org}/{found.Name} --issue-key --write", "does all this, with a fresh key");
        }
    }

    private static JsonObject Object(Cache found, string host, NixFiles files, bool netrcWritten) => new()
    {
        ["substituter"] = found.Url,
        ["trustedPublicKeys"] = new JsonArray([.. found.PublicKeys.Select(key => (JsonNode)JsonValue.Create(key))]),
        ["netrcMachine"] = host,
        ["nixConf"] = files.ConfPath,
        ["netrc"] = files.NetrcPath,
        ["netrcWritten"] = netrcWritten,
    };

    private static UnixFileMode ModeOf(string path) => File.Exists(path)
        ? File.GetUnixFileMode(path)
        : AtomicFile.Private | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
}
