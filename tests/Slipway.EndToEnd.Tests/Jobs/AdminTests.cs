using System.Text.Json.Nodes;

namespace Slipway.EndToEnd.Tests.Jobs;

/// <summary>What people do to queues from the command line.</summary>
public sealed class AdminTests(JobsLab lab) : IClassFixture<JobsLab>
{
    [Fact]
    public async Task Dead_letters_are_listed_counted_put_back_and_purged()
    {
        var queue = await lab.QueueAsync("--attempts", "1");
        await lab.CliAsync("1\n2\n2\n", ["enqueue", queue, "--type", "test", "--lines", "--file", "-"]);
        (await lab.CliAsync("work", queue, "--exec", "sh -c 'exit $1' sh {}", "--drain")).ShouldSucceed();

        (await lab.CliAsync("dead", "list", queue, "--reason", "exit 2", "--quiet")).ShouldSucceed().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(2);
        (await lab.CliAsync("purge-dlq", queue, "--reason", "exit 2", "--dry-run")).ShouldSucceed().Errors.ShouldContain("2 dead letters");
        var unasked = await lab.CliAsync("purge-dlq", queue);
        unasked.ExitCode.ShouldBe(2);
        unasked.Errors.ShouldContain("--yes");
        (await lab.CliAsync("redrive", queue, "--reason", "exit 1", "--rate", "100/s")).ShouldSucceed().Errors.ShouldContain("put back 1 dead letter");
        ((long)(await lab.StatsAsync(queue))["readyTotal"]!).ShouldBe(1);
        (await lab.CliAsync("purge-dlq", queue, "--yes")).ShouldSucceed().Errors.ShouldContain("purged 2 dead letters");
        ((long)(await lab.StatsAsync(queue))["dead"]!).ShouldBe(0);
        (await lab.CliAsync("purge-dlq", queue, "--yes")).ShouldSucceed().Errors.ShouldContain("nothing to purge");
    }

    [Fact]
    public async Task A_paused_queue_takes_jobs_and_hands_none_out()
    {
        var queue = await lab.QueueAsync();
        (await lab.CliAsync("pause", queue)).ShouldSucceed();
        await lab.EnqueueAsync(queue, "1");

        (await lab.CliAsync("work", queue, "--exec", "true", "--drain")).ShouldSucceed().Errors.ShouldContain("0 completed");
        ((string?)(await lab.StatsAsync(queue))["pausedWhy"]).ShouldBe("settings");
        (await lab.CliAsync("resume", queue)).ShouldSucceed();
        (await lab.CliAsync("work", queue, "--exec", "true", "--drain")).ShouldSucceed().Errors.ShouldContain("1 completed");
    }

    [Fact]
    public async Task Settings_limits_and_schedules_are_set_shown_and_taken_away()
    {
        var queue = await lab.QueueAsync();
        (await lab.CliAsync("queue", "update", queue, "--attempts", "3", "--max-delay", "1h", "--dead-overflow", "drop-oldest")).ShouldSucceed();
        var settings = JsonNode.Parse((await lab.CliAsync("queue", "show", queue, "--json")).ShouldSucceed().Output)!["settings"]!;
        (settings["retry"]!["maxAttempts"]!.GetValue<int>(), settings["retry"]!["firstDelayMs"]!.GetValue<long>(), settings["retry"]!["maxDelayMs"]!.GetValue<long>(), settings["deadOverflow"]!.GetValue<string>())
            .ShouldBe((3, 1000, 3_600_000, "dropOldest"));

        (await lab.CliAsync("limits", "set", queue, "mail", "--rate", "600/m", "--concurrency", "5")).ShouldSucceed();
        (await lab.CliAsync("limits", "list", queue)).ShouldSucceed().Output.ShouldStartWith("mail\t5 at once, 10/s");
        (await lab.CliAsync("limits", "remove", queue, "mail")).ShouldSucceed();
        (await lab.CliAsync("limits", "list", queue)).ShouldSucceed().Output.ShouldBeEmpty();

        (await lab.CliAsync("cron", "set", queue, "nightly", "0 3 * * *", "{\"n\":1}", "--type", "report", "--time-zone", "Europe/Berlin")).ShouldSucceed();
        (await lab.CliAsync("cron", "list", queue)).ShouldSucceed().Output.ShouldStartWith("nightly\t0 3 * * *\tEurope/Berlin\treport\ton\t");
        (await lab.CliAsync("cron", "delete", queue, "nightly", "--yes")).ShouldSucceed();
        (await lab.CliAsync("cron", "list", queue)).ShouldSucceed().Output.ShouldBeEmpty();
        (await lab.CliAsync("queue", "delete", queue, "--yes", "--force")).ShouldSucceed();
        (await lab.CliAsync("queue", "show", queue)).ExitCode.ShouldBe(7);
    }

    [Fact]
    public async Task Stats_are_watched_as_lines_until_the_signal()
    {
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, "1");
        await using var watch = lab.Start("stats", queue, "--watch", "--json");

        await Eventually.TrueAsync(() => watch.Lines.Any(line => (long?)line["stats"]?["readyTotal"] == 1), TestContext.Current.CancellationToken);
        await watch.SignalAsync("INT");

        (await watch.EndAsync()).ShouldBe(0, watch.ToString());
    }

    [Fact]
    public async Task Bench_measures_and_takes_its_queue_away()
    {
        var report = JsonNode.Parse((await lab.CliAsync("bench", "--org", "acme", "--jobs", "500", "--block", "100", "--json")).ShouldSucceed().Output)!;

        report["bulkPerSecond"]!.GetValue<double>().ShouldBeGreaterThan(0);
        report["workPerSecond"]!.GetValue<double>().ShouldBeGreaterThan(0);
        report["pickUp"]!["samples"]!.GetValue<int>().ShouldBe(1000);
        (await lab.CliAsync("queue", "list", "--org", "acme", "--quiet")).ShouldSucceed().Output.ShouldNotContain("bench");
    }
}
