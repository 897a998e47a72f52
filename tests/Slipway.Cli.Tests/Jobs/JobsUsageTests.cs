using Shouldly;
using Slipway.Api;
using Xunit;

namespace Slipway.Cli.Tests.Jobs;

public sealed class JobsUsageTests
{
    private static readonly DateTimeOffset Then = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly JobQueueStats Stats = new(
        "mail", [0, 0, 3, 5, 0, 0, 0, 0], 8, new Dictionary<string, long> { ["send"] = 2 }, 1, 4, 0, 12, 4096, 1500,
        new Dictionary<string, long> { ["enqueued"] = 100, ["completed"] = 70 }, new Dictionary<string, long> { ["exit 1"] = 10, ["timeout"] = 2 }, [], [], null, Then);

    private static readonly QueueOperation Purged = new("op_1", "mail", "purge", "done", 12, null, null, null, null, Then, Then);

    [Theory]
    [InlineData("jobs work acme/mail", "--exec COMMAND or --http URL is missing")]
    [InlineData("jobs work acme/mail --exec true --http http://x", "can't both be")]
    [InlineData("jobs work acme/mail --exec true --once --drain", "--once and --drain can't both be")]
    [InlineData("jobs work acme/mail --exec no-such-program-here", "there is no program no-such-program-here")]
    [InlineData("jobs work acme/mail --exec {}", "the payload can't choose the program")]
    [InlineData("jobs work acme/mail --exec true --lease 30", "--lease is a time such as 500ms")]
    [InlineData("jobs work acme/mail --exec true --dead-exit 0", "--dead-exit is exit codes")]
    [InlineData("jobs work acme/mail --exec true --name a/b", "--name is 1 to 64 characters")]
    [InlineData("jobs work acme/mail --http ftp://x --unsigned", "is not a URL that jobs can be sent to")]
    [InlineData("jobs work acme/mail --http http://x", "nothing to sign the requests with")]
    [InlineData("jobs enqueue acme/mail {}", "--type is missing")]
    [InlineData("jobs enqueue acme/mail {} --type a --file b", "can't both be")]
    [InlineData("jobs enqueue acme/mail --type a --delay 1s --at 2027-01-01T00:00:00Z x", "--at and --delay can't both be")]
    [InlineData("jobs status acme/mail 17", "it is a UUID")]
    [InlineData("jobs limits set acme/mail a --rate fast", "--rate is a rate such as 100/s")]
    [InlineData("jobs queue create acme/mail --weights 1,2", "--weights is eight numbers")]
    [InlineData("jobs peek a/b/c", "does not name a queue")]
    [InlineData("jobs scan / acme/mail --priority csv=high", "is not a rule of --priority")]
    [InlineData("jobs pek acme/mail", "did you mean peek?")]
    public async Task A_wrong_command_line_exits_2_and_says_why(string line, string words)
    {
        using var cli = new CliRun();

        (await cli.RunAsync(line.Split(' '))).ShouldBe(ExitCodes.Usage);

        cli.Out.ShouldBeEmpty();
        cli.Error.ShouldContain(words);
    }

    [Fact]
    public async Task Purge_shows_what_it_would_take_and_wants_the_name_typed()
    {
        await using var api = await FakeApi.StartAsync(http => http.Request.Method == "GET"
            ? FakeApi.AnswerAsync(http, Stats, ApiJson.Default.JobQueueStats)
            : FakeApi.AnswerAsync(http, Purged, ApiJson.Default.QueueOperation));
        using var cli = new CliRun { Terminal = true, Input = "acme/mial\n" };
        cli.Variables["NO_COLOR"] = "1";

        (await cli.RunAsync("jobs", "purge-dlq", "acme/mail", "--url", api.Url)).ShouldBe(ExitCodes.Failed);

        cli.Error.ShouldContain("  10  exit 1\n   2  timeout\n12 dead letters of acme/mail will be gone for good.\nType acme/mail to go on: ");
        api.Requests.ShouldAllBe(request => request.Method == "GET");

        cli.Input = "acme/mail\n";
        (await cli.RunAsync("jobs", "purge-dlq", "acme/mail", "--url", api.Url)).ShouldBe(ExitCodes.Ok, cli.Error);
        cli.Error.ShouldContain("purged 12 dead letters of acme/mail");
        api.Requests.Last().Path.ShouldBe("/v1/orgs/acme/queues/mail/dead-letters/purge");
    }

    [Fact]
    public async Task Stats_are_a_page_on_a_terminal_and_pairs_in_a_pipe()
    {
        await using var api = await FakeApi.StartAsync(http => http.Request.Path.Value!.EndsWith("/history", StringComparison.Ordinal)
            ? FakeApi.AnswerAsync(http, new JobQueueHistory([new JobMinute(Then, "send\e[31m", 60, 2, 6200, 620)], [new JobErrorCount("send", "exit 1", 2)]), ApiJson.Default.JobQueueHistory)
            : FakeApi.AnswerAsync(http, Stats, ApiJson.Default.JobQueueStats));
        using var cli = new CliRun { Terminal = true };
        cli.Variables["NO_COLOR"] = "1";

        (await cli.RunAsync("jobs", "stats", "acme/mail", "--url", api.Url)).ShouldBe(ExitCodes.Ok, cli.Error);

        cli.Out.ShouldContain("ready 8   delayed 1   leased 4   dead 12   4 KiB   oldest waits 1.5 s");
        cli.Out.ShouldContain("priority 3  5  ━");
        cli.Out.ShouldContain("no workers");
        cli.Out.ShouldNotContain("\e");
        cli.Out.Split('\n').ShouldAllBe(line => line.Length <= 100);

        cli.Terminal = false;
        (await cli.RunAsync("jobs", "stats", "acme/mail", "--url", api.Url)).ShouldBe(ExitCodes.Ok);
        cli.Out.ShouldStartWith("ready\t8\nready.0\t0\n");
        cli.Out.ShouldContain("total.completed\t70\n");
    }

    [Fact]
    public async Task Lines_are_enqueued_in_blocks_and_a_full_queue_is_waited_for()
    {
        var bodies = new List<int>();
        await using var api = await FakeApi.StartAsync(async http =>
        {
            using var reader = new StreamReader(http.Request.Body);
            var lines = (await reader.ReadToEndAsync(http.RequestAborted)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            bodies.Add(lines.Length);
            // Full for longer than the client's own tries.
            http.Response.Headers.RetryAfter = "0";
            await (bodies.Count is > 1 and < 8
                ? FakeApi.RefuseAsync(http, 429, "queue_full", "the queue is full")
                : FakeApi.AnswerAsync(http, new EnqueuedJobs(lines.Length, [.. lines.Select(_ => new EnqueuedJob(Guid.NewGuid(), "added"))]), ApiJson.Default.EnqueuedJobs));
        });
        using var cli = new CliRun { Input = string.Concat(Enumerable.Range(0, 2500).Select(n => $"{n}\r\n\n")) };

        (await cli.RunAsync("jobs", "enqueue", "acme/mail", "--type", "t", "--lines", "--file", "-", "--json", "--url", api.Url)).ShouldBe(ExitCodes.Ok, cli.Error);

        cli.Out.ShouldContain("\"added\": 2500");
        cli.Error.ShouldContain("acme/mail is full after 1,000 jobs; waiting for room");
        bodies.Distinct().ShouldBe([1000, 500]);
    }
}
