using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Api;
using Xunit;

namespace Slipway.Cli.Tests;

/// <summary>The operator's verbs of <c>slipway store</c>, against answers of a server.</summary>
public sealed class StoreTests
{
    private static readonly DateTimeOffset Then = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly StoreScrub Clean = new("buildcache", "done", false, Then, Then.AddHours(1), 0, 5L << 30, 5L << 30, 0, 1_234, 0, []);
    private static readonly StoreScrub Rotten = Clean with { Faults = 1, Findings = ["Sha256:00ff: its bytes do not have the checksum they were written with; quarantined."] };
    private static readonly StoreScrub Running = Clean with { State = "running", EndedAt = null, BytesRead = 1L << 30, BytesPerSecond = 200_000_000 };

    private static readonly StoreStats Stats = new(
        "buildcache", "/srv/buildcache", 1_234, 9L << 30, 5L << 30, 6L << 30, 1L << 29, 7L << 40, new StoreSegments(1, 80), 12, new QuarantinedFiles(0, 0), 1 << 16, 1,
        [new StoreSpace("0195a7a0-0b1d-7cac-8e00-000000000002", "acme/main", 1_234, 5L << 30, 4L << 30, 81, 12)],
        new StoreTier("bucket/prefix", 4L << 30, 1 << 20, Then, 3L << 30, 1), Rotten);

    private static CliRun New(FakeApi api, bool terminal = false)
    {
        var cli = new CliRun { Terminal = terminal };
        cli.Variables["SLIPWAY_URL"] = api.Url;
        cli.Variables["SLIPWAY_TOKEN"] = "sls_token";
        return cli;
    }

    [Fact]
    public async Task Stats_show_a_store_in_full_for_people_and_programs()
    {
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(http, Stats, ApiJson.Default.StoreStats));
        using var people = New(api, terminal: true);
        using var programs = New(api);

        (await people.RunAsync("store", "stats", "buildcache", "--top", "3")).ShouldBe(ExitCodes.Ok, people.Error);
        (await programs.RunAsync("store", "stats", "buildcache", "--json")).ShouldBe(ExitCodes.Ok, programs.Error);

        people.Out.ShouldContain("512 MiB (10 %)");
        people.Out.ShouldContain("80 sealed, 1 open");
        people.Out.ShouldContain("acme/main");
        people.Out.ShouldContain("done, 5 GiB read, 1 fault");
        people.Error.ShouldContain("slipway store scrub buildcache --last");
        api.Requests.First().Path.ShouldBe("/v1/stores/buildcache/stats?top=3");
        JsonSerializer.Deserialize(programs.Out, ApiJson.Default.StoreStats)!.ShouldSatisfyAllConditions(
            stats => stats.DeadBytes.ShouldBe(Stats.DeadBytes), stats => stats.Tier!.WaitingBytes.ShouldBe(1 << 20));
    }

    [Fact]
    public async Task Stats_of_all_stores_are_a_line_each()
    {
        await using var api = await FakeApi.StartAsync(http => http.Request.Path == "/v1/stores"
            ? FakeApi.AnswerAsync(http, new Page<Store>([new Store("store_1", "buildcache", "disk", "/srv/buildcache", 1, 1, true, Then)], null), ApiJson.Default.PageStore)
            : FakeApi.AnswerAsync(http, Stats, ApiJson.Default.StoreStats));
        using var cli = New(api);

        (await cli.RunAsync("store", "stats")).ShouldBe(ExitCodes.Ok, cli.Error);

        cli.Out.ShouldBe($"buildcache\t1234\t{5L << 30}\t{1L << 29}\t{7L << 40}\t1 fault\t2026-11-01T01:00:00Z\n");
    }

    [Fact]
    public async Task Scrub_is_followed_to_its_end_and_says_what_heals()
    {
        var asked = 0;
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(
            http,
            http.Request.Method == "POST" ? Running : ++asked switch { 1 => Clean, 2 => Running, _ => Rotten },
            ApiJson.Default.StoreScrub,
            http.Request.Method == "POST" ? 202 : 200));
        using var cli = New(api);

        (await cli.RunAsync("store", "scrub", "buildcache", "--rate", "200MB")).ShouldBe(ExitCodes.Failed, cli.Error);

        cli.Out.ShouldContain("buildcache: done, 5 GiB read, 1 fault");
        cli.Out.ShouldContain("rotten  Sha256:00ff");
        cli.Out.ShouldContain("uploads them again");
        api.Requests.Select(request => $"{request.Method} {request.Path}").ShouldBe(
            ["GET /v1/stores/buildcache/scrub", "POST /v1/stores/buildcache/scrub", "GET /v1/stores/buildcache/scrub?wait=1", "GET /v1/stores/buildcache/scrub?wait=1"]);
    }

    [Fact]
    public async Task Scrub_that_runs_is_followed_and_not_begun_again()
    {
        var asked = 0;
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(http, ++asked == 1 ? Running : Clean, ApiJson.Default.StoreScrub));
        using var cli = New(api);

        (await cli.RunAsync("store", "scrub", "buildcache", "--json")).ShouldBe(ExitCodes.Ok, cli.Error);

        api.Requests.ShouldAllBe(request => request.Method == "GET");
        cli.Error.ShouldContain("is being scrubbed already");
        JsonSerializer.Deserialize(cli.Out, ApiJson.Default.StoreScrub)!.State.ShouldBe("done");
        (await cli.RunAsync("store", "scrub", "buildcache", "--stop", "--detach")).ShouldBe(ExitCodes.Usage);
    }

    [Fact]
    public async Task Compact_says_what_was_there_before_and_after()
    {
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(
            http, new StoreCompaction("buildcache", 5L << 30, 4L << 30, 1L << 30, 0, 1L << 30), ApiJson.Default.StoreCompaction));
        using var cli = New(api);

        (await cli.RunAsync("store", "compact", "buildcache")).ShouldBe(ExitCodes.Ok, cli.Error);

        cli.Out.ShouldContain("5 GiB before, 4 GiB after; dead 1 GiB before, 0 B after");
        api.Requests.Single().ShouldSatisfyAllConditions(request => request.Method.ShouldBe("POST"), request => request.Path.ShouldBe("/v1/stores/buildcache/compaction"));
    }

    [Theory]
    [InlineData("store", "fsck", "buildcache", "--deep")]
    [InlineData("fsck", "--store", "buildcache", "--deep")]
    public async Task Fsck_fails_when_something_is_wrong(params string[] args)
    {
        await using var api = await FakeApi.StartAsync(http => FakeApi.AnswerAsync(
            http, new FsckReport("buildcache", true, 10, 20, 0, [], [], 0, [], 2, ["segments/00000001: its header is not sound."], false), ApiJson.Default.FsckReport));
        using var cli = New(api);

        (await cli.RunAsync(args)).ShouldBe(ExitCodes.Failed, cli.Error);

        cli.Out.ShouldContain("its header is not sound");
        cli.Out.ShouldContain("and 1 fault more");
        api.Requests.Single().Path.ShouldBe("/v1/stores/buildcache/fsck?deep=true");
    }

    [Fact]
    public async Task Who_is_no_superuser_is_told_so()
    {
        await using var api = await FakeApi.StartAsync(http => FakeApi.RefuseAsync(http, StatusCodes.Status403Forbidden, ProblemCodes.Forbidden, "superusers only"));
        using var cli = New(api);

        foreach (var verb in (string[])["stats", "scrub", "compact", "fsck"])
        {
            (await cli.RunAsync("store", verb, "buildcache")).ShouldBe(ExitCodes.NotAllowed);
            cli.Error.ShouldContain("superusers only");
        }
    }
}
