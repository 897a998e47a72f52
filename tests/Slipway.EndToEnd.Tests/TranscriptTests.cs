using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>
/// Replays, request by request, what nix 2.8.0 was recorded to say to a plain file server. Ours must answer each with the same
/// status, so that whatever the client did there it can do here.
/// </summary>
public sealed partial class TranscriptTests(Acme acme, NixLab nix) : IClassFixture<Acme>, IClassFixture<NixLab>, IDisposable
{
    private readonly TempFolder pushed = new();

    public void Dispose() => pushed.Dispose();

    [Fact]
    public async Task Push_into_an_empty_cache_and_push_again_are_answered_as_recorded()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("t01");
        var bodies = await FilesAsync("", nix.Chain);

        (await ReplayAsync("01-push-empty-http.txt", cache, bodies)).ShouldBeGreaterThan(10);
        (await ReplayAsync("02-push-again.txt", cache, bodies)).ShouldBe(4);
    }

    [Fact]
    public async Task Push_with_listings_and_every_kind_of_fetch_and_query_are_answered_as_recorded()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("t03");
        var bodies = await FilesAsync("?compression=zstd&write-nar-listing=1&parallel-compression=true", nix.Chain);

        (await ReplayAsync("03-push-zstd-listing-signed.txt", cache, bodies)).ShouldBeGreaterThan(10);
        (await ReplayAsync("05-fetch-query-http.txt", cache, bodies)).ShouldBeGreaterThan(100);
    }

    [Fact]
    public async Task Realisations_are_taken_and_given_as_recorded()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("t09");
        var built = (await nix.BuildAsync("chain.nix", "caB")).Trim();
        var bodies = await FilesAsync("", built, "-f", Path.Combine(AppContext.BaseDirectory, "Lab", "chain.nix"), "caB");

        (await ReplayAsync("09-realisations.txt", cache, bodies)).ShouldBeGreaterThan(20);
    }

    /// <summary>What nix writes for a path, by its place in the cache: the bodies of the recorded PUTs.</summary>
    private async Task<string> FilesAsync(string query, string path, params string[] installable)
    {
        var folder = pushed.Path;
        (await nix.NixAsync("nix", ["copy", "--to", $"file://{folder}{query}", path])).ShouldSucceed();
        if (installable.Length > 0)
        {
            (await nix.NixAsync("nix", ["copy", "--to", $"file://{folder}{query}", .. installable])).ShouldSucceed();
        }

        return folder;
    }

    /// <returns>How many requests were replayed.</returns>
    private async Task<int> ReplayAsync(string transcript, NixCacheUnderTest cache, string bodies)
    {
        using var client = acme.Server.Client(acme.Key);
        var replayed = 0;
        foreach (var line in await File.ReadAllLinesAsync(Path.Combine(AppContext.BaseDirectory, "Transcripts", transcript), TestContext.Current.CancellationToken))
        {
            // The recorded server was emptied before these steps.
            if (line.StartsWith("## push", StringComparison.Ordinal))
            {
                cache = await acme.CacheAsync($"t-{Guid.NewGuid():N}"[..20]);
            }

            var match = Request().Match(line);
            if (!match.Success)
            {
                continue;
            }

            var (method, path, recorded) = (match.Groups["method"].Value, match.Groups["path"].Value, int.Parse(match.Groups["status"].Value, CultureInfo.InvariantCulture));
            using var request = new HttpRequestMessage(new HttpMethod(method), cache.Url + path);
            if (method == "PUT")
            {
                var file = bodies + path;
                request.Content = new ByteArrayContent(File.Exists(file) ? await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken) : "text\n"u8.ToArray());
            }

            using var answer = await client.SendAsync(request, TestContext.Current.CancellationToken);
            Expected(path, recorded).ShouldContain((int)answer.StatusCode, $"{transcript}: {line.Trim()} but got: {await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)}");
            replayed++;
        }

        return replayed;
    }

    private static int[] Expected(string path, int recorded) => recorded switch
    {
        201 => [(int)HttpStatusCode.OK, (int)HttpStatusCode.Created],
        // A cache of ours is one from the start: it never lacks this file.
        404 when path == "/nix-cache-info" => [200],
        _ => [recorded],
    };

    [GeneratedRegex(@"^\s*\d+ c\d+\s+(?<method>GET|HEAD|PUT)\s+(?<path>/\S+) -> (?<status>\d+)")]
    private static partial Regex Request();
}
