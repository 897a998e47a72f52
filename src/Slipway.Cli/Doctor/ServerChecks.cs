using System.Globalization;
using System.Runtime.CompilerServices;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Doctor;

/// <summary>Is the server there and well, does its clock agree, and does it know us.</summary>
internal sealed class ServerChecks(Invocation run)
{
    /// <summary>Sessions and keys end to the second, and TLS certificates begin to: a minute off is where it starts to hurt.</summary>
    private static readonly TimeSpan MaxSkew = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan EndsSoon = TimeSpan.FromDays(7);

    private readonly List<Cache> caches = [];

    /// <summary>The caches the credential can see.</summary>
    public IReadOnlyList<Cache> Caches => caches;

    public async IAsyncEnumerable<Finding> RunAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var connection = run.Connection;
        var url = connection.Url.GetLeftPart(UriPartial.Authority);
        yield return new Finding("url", Verdict.Good, $"{url} (from {connection.UrlFrom})");

        var (ready, unreachable) = await TryReadyAsync(cancellationToken);
        if (ready is null)
        {
            yield return new Finding(
                "server", Verdict.Bad, unreachable!.Message,
                unreachable.Reason == UnreachableReason.Refused ? "./slipway up, or --url for a server elsewhere" : "check the URL: slipway context show");
            yield break;
        }

        yield return ready.IsReady
            ? new Finding("server", Verdict.Good, $"ready, answered in {Figures.Duration(ready.Took)}")
            : new Finding("server", Verdict.Bad, $"reachable but not ready ({(int)ready.Status}): {Unready(ready)}", "the server's log says more");
        yield return Clock(ready);
        if (connection.Token is null)
        {
            yield return new Finding("credential", Verdict.Bad, "none", "slipway login --user NAME");
            yield break;
        }

        var (me, problem) = await TryWhoAmIAsync(cancellationToken);
        if (me is null)
        {
            yield return new Finding("credential", Verdict.Bad, $"refused: {problem} (from {connection.TokenFrom})", "slipway login --user NAME");
            yield break;
        }

        yield return Credential(me, connection.TokenFrom);
        yield return me.Scopes is { } scopes
            ? new Finding("scopes", Verdict.Good, string.Join(' ', scopes))
            : new Finding("orgs", me.Orgs.Count > 0 ? Verdict.Good : Verdict.Warning,
                me.Orgs.Count > 0 ? string.Join(", ", me.Orgs.Select(org => $"{org.Org} ({org.Role})")) : "none", "slipway org create NAME");
        await FindCachesAsync(me, cancellationToken);
    }

    private async Task<(Readiness? Ready, SlipwayUnreachableException? Failure)> TryReadyAsync(CancellationToken cancellationToken)
    {
        try
        {
            return (await run.Client.CheckReadyAsync(cancellationToken), null);
        }
        catch (SlipwayUnreachableException exception)
        {
            return (null, exception);
        }
    }

    private async Task<(WhoAmI? Me, string? Problem)> TryWhoAmIAsync(CancellationToken cancellationToken)
    {
        try
        {
            return (await run.Client.WhoAmIAsync(cancellationToken), null);
        }
        catch (SlipwayApiException exception)
        {
            return (null, exception.Message);
        }
        catch (SlipwayUnreachableException exception)
        {
            return (null, exception.Message);
        }
    }

    private Finding Clock(Readiness ready)
    {
        if (ready.ServerTime is not { } there)
        {
            return new Finding("clock", Verdict.Warning, "the server does not tell its time");
        }

        var skew = ready.LocalTime - there;
        var words = $"{Figures.Duration(skew.Duration())} {(skew < TimeSpan.Zero ? "behind" : "ahead of")} the server's";
        return skew.Duration() <= MaxSkew
            ? new Finding("clock", Verdict.Good, skew.Duration() < TimeSpan.FromSeconds(2) ? "agrees with the server's" : words)
            : new Finding("clock", Verdict.Bad, words, "timedatectl set-ntp true");
    }

    private Finding Credential(WhoAmI me, string from)
    {
        var words = $"{me.Name}{(me.Superuser ? " (superuser)" : "")}, {me.Via} from {from}";
        return me.ExpiresAt is { } ends
            ? new Finding(
                "credential", ends - run.Now > EndsSoon || me.Via == "session" ? Verdict.Good : Verdict.Warning,
                $"{words}, ends {Figures.Since(ends, run.Now)}", me.Via == "key" ? "slipway key issue NAME --scope SCOPE" : "slipway login --user NAME")
            : new Finding("credential", Verdict.Good, words);
    }

    private async Task FindCachesAsync(WhoAmI me, CancellationToken cancellationToken)
    {
        foreach (var membership in me.Orgs)
        {
            try
            {
                await foreach (var cache in run.Client.ListCachesAsync(membership.Org, cancellationToken))
                {
                    caches.Add(cache);
                }
            }
            catch (SlipwayApiException)
            {
                // A key may be good without the right to list: its caches just can't be compared with nix.conf.
            }
        }
    }

    private static string Unready(Readiness ready)
    {
        if (ready.Body?["checks"] is System.Text.Json.Nodes.JsonObject checks)
        {
            var failing = checks.Where(pair => (pair.Value?["status"] ?? pair.Value)?.ToString() is not ("ok" or "ready" or "true")).Select(pair => pair.Key);
            return string.Join(", ", failing) is { Length: > 0 } names ? names : "no check named";
        }

        return string.Create(CultureInfo.InvariantCulture, $"answer {(int)ready.Status}");
    }
}
