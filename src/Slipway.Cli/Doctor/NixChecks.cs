using System.Runtime.CompilerServices;
using Slipway.Api;
using Slipway.Cli.Nix;

namespace Slipway.Cli.Doctor;

/// <summary>Does the local nix know our caches, trust their keys and have a credential for their host.</summary>
internal sealed class NixChecks(NixProgram nix)
{
    public async IAsyncEnumerable<Finding> RunAsync(IReadOnlyList<Cache> caches, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        if (await nix.VersionAsync(cancellationToken) is not { } version)
        {
            yield return new Finding("nix", Verdict.Warning, "not installed", "apt-get install nix-bin");
            yield break;
        }

        yield return new Finding("nix", Verdict.Good, version);
        if (await nix.SettingsAsync(cancellationToken) is not { } settings)
        {
            yield return new Finding("nix settings", Verdict.Warning, "nix did not show them", "nix show-config");
            yield break;
        }

        var substituters = Words(settings, "substituters", "extra-substituters").Select(url => url.Split('?')[0].TrimEnd('/')).ToList();
        var keys = Words(settings, "trusted-public-keys", "extra-trusted-public-keys").ToList();
        var used = caches.Where(cache => substituters.Contains(cache.Url.TrimEnd('/'), StringComparer.Ordinal)).ToList();
        if (used.Count == 0)
        {
            yield return new Finding(
                "substituters", Verdict.Warning, caches.Count == 0 ? "no cache to compare with" : "nix fetches from none of your caches",
                caches.Count == 0 ? "slipway cache create NAME" : $"slipway cache use {caches[0].Org}/{caches[0].Name} --write");
        }

        var netrcPath = settings.Words("netrc-file") is [var path] ? path : "/etc/nix/netrc";
        foreach (var cache in used)
        {
            yield return CheckKeys(cache, keys);
            if (!cache.Public)
            {
                yield return CheckNetrc(cache, netrcPath);
            }
        }
    }

    private static Finding CheckKeys(Cache cache, List<string> keys)
    {
        var name = $"{cache.Org}/{cache.Name}";
        return cache.PublicKeys.All(key => keys.Contains(key, StringComparer.Ordinal))
            ? new Finding("substituter", Verdict.Good, $"{name}, its key is trusted")
            : new Finding(
                "substituter", cache.PublicKeys.Any(key => keys.Contains(key, StringComparer.Ordinal)) ? Verdict.Warning : Verdict.Bad,
                $"{name} is used, but nix does not trust all of its keys", $"slipway cache use {name} --write");
    }

    private static Finding CheckNetrc(Cache cache, string path)
    {
        var name = $"{cache.Org}/{cache.Name}";
        var host = new Uri(cache.Url).Host;
        var fix = $"slipway cache use {name} --issue-key --write";
        if (!File.Exists(path))
        {
            return new Finding("netrc", Verdict.Bad, $"{name} is private and there is no {path}", fix);
        }

        try
        {
            if (!Netrc.Parse(File.ReadAllText(path)).Has(host))
            {
                return new Finding("netrc", Verdict.Bad, $"{path} has no key for {host}", fix);
            }
        }
        catch (UnauthorizedAccessException)
        {
            return new Finding("netrc", Verdict.Warning, $"{path} can't be read by you, so nobody can say whether it has a key for {host}");
        }

        const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        return (File.GetUnixFileMode(path) & Others) == 0
            ? new Finding("netrc", Verdict.Good, $"{path} has a key for {host}")
            : new Finding("netrc", Verdict.Warning, $"{path} can be read by others", $"chmod 600 {path}");
    }

    // Nix shows the extra- lines merged into the plain ones; older ones show both.
    private static IEnumerable<string> Words(NixConf settings, params string[] names) => names.SelectMany(settings.Words);
}
