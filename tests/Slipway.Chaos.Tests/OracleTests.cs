using Slipway.Chaos.Accounting;
using Slipway.Testing;

namespace Slipway.Chaos.Tests;

/// <summary>An oracle that finds nothing proves nothing: it is fed with logs that are broken in each way.</summary>
public sealed class OracleTests
{
    private const long Second = 1_000_000_000;

    private static readonly HashSet<ulong> Nobody = [];

    [Fact]
    public void Everything_executed_once_is_in_order()
    {
        Account account = Judge([Offer(OfferKind.Offered, 1, 3), Offer(OfferKind.Acknowledged, 1, 3)], [Run(1), Run(2), Run(3)]);

        account.Acknowledged.ShouldBe(3);
        account.Completed.ShouldBe(3);
        (account.Lost.Count, account.Ghosts.Count, account.Duplicates, account.Unknown).ShouldBe((0, 0, 0, 0));
    }

    [Fact]
    public void An_acknowledged_job_that_never_ran_is_lost()
    {
        Account account = Judge([Offer(OfferKind.Offered, 1, 3), Offer(OfferKind.Acknowledged, 1, 3)], [Run(1), Run(3)]);

        account.Lost.ShouldBe([2UL]);
        account.Examples.ShouldContain("lost 0:2");
    }

    [Theory]
    [InlineData((int)RunOutcome.Started)]
    [InlineData((int)RunOutcome.Failed)]
    [InlineData((int)RunOutcome.Cancelled)]
    public void A_job_that_ran_without_success_is_lost_unless_it_is_dead(int outcome)
    {
        OfferRecord[] offers = [Offer(OfferKind.Acknowledged, 1)];
        RunRecord[] runs = [Run(1, outcome: (RunOutcome)outcome)];

        Judge(offers, runs).Lost.ShouldBe([1UL]);
        Oracle.Judge(offers, [new RunLog("w", runs, [])], new HashSet<ulong> { 1 }).Lost.ShouldBeEmpty();
    }

    [Fact]
    public void What_nobody_offered_is_a_ghost() => Judge([Offer(OfferKind.Acknowledged, 1)], [Run(1), Run(9)]).Ghosts.ShouldBe([9UL]);

    [Fact]
    public void What_was_refused_and_runs_all_the_same_is_a_ghost() =>
        Judge([Offer(OfferKind.Offered, 1), Offer(OfferKind.Refused, 1)], [Run(1)]).Ghosts.ShouldBe([1UL]);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_enqueue_without_an_answer_may_run_or_not(bool ran)
    {
        Account account = Judge([Offer(OfferKind.Offered, 1)], ran ? [Run(1)] : []);

        (account.Unknown, account.Lost.Count, account.Ghosts.Count).ShouldBe((1, 0, 0));
    }

    [Fact]
    public void A_second_run_of_the_same_attempt_is_a_duplicate_that_nothing_explains()
    {
        Account account = Judge([Offer(OfferKind.Acknowledged, 1)], [Run(1, start: Second), Run(1, start: 2 * Second)]);

        (account.Duplicates, account.DuplicatesUnexplained).ShouldBe((1, 1));
    }

    [Fact]
    public void A_second_attempt_is_no_duplicate() =>
        Judge([Offer(OfferKind.Acknowledged, 1)], [Run(1, outcome: RunOutcome.Failed), Run(1, attempt: 2, start: 2 * Second)]).Duplicates.ShouldBe(0);

    [Fact]
    public void A_run_that_was_under_way_at_a_kill_explains_its_duplicate()
    {
        RunRecord killed = Run(1, start: Second, outcome: RunOutcome.Started) with { End = 0 };

        Account account = Oracle.Judge(
            [Offer(OfferKind.Acknowledged, 1)], [new RunLog("killed", [killed], [2 * Second]), new RunLog("heir", [Run(1, start: 12 * Second)], [])], Nobody);

        (account.Duplicates, account.DuplicatesUnderWay, account.DuplicatesUnexplained).ShouldBe((1, 1, 0));
        account.LongestRestart.ShouldBe(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public void A_run_that_had_ended_before_a_kill_shows_the_window()
    {
        RunRecord done = Run(1, start: Second) with { End = Second + (Second / 2) };

        Account account = Oracle.Judge(
            [Offer(OfferKind.Acknowledged, 1)], [new RunLog("killed", [done], [2 * Second]), new RunLog("heir", [Run(1, start: 12 * Second)], [])], Nobody);

        (account.Duplicates, account.DuplicatesInWindow, account.Window).ShouldBe((1, 1, TimeSpan.FromSeconds(0.5)));
    }

    [Fact]
    public void Records_are_there_after_their_writer_is_gone_without_a_word()
    {
        using var folder = new TempFolder();
        string path = folder.File("runs");
        RecordFile<RunRecord> writer = RecordFile<RunRecord>.Create(path, 10);
        writer.Append() = Run(7);

        // The writer is not closed: what it stored is the kernel's already.
        using RecordFile<RunRecord> reader = RecordFile<RunRecord>.Open(path);

        reader.Records.ToArray().ShouldBe([Run(7)]);
        writer.Dispose();
    }

    [Fact]
    public void A_full_file_refuses_rather_than_forgets()
    {
        using var folder = new TempFolder();
        string path = folder.File("runs");
        using RecordFile<RunRecord> file = RecordFile<RunRecord>.Create(path, 1);
        file.Append() = Run(1);

        Should.Throw<InvalidOperationException>(() => file.Append());
    }

    [Fact]
    public void Recovery_is_the_time_until_the_throughput_is_back()
    {
        // 100 runs per second, none from 2 s to 4 s.
        RunRecord[] runs = [.. Enumerable.Range(0, 600).Where(i => i is < 200 or >= 400).Select(i => Run((ulong)i + 1, start: i * (Second / 100)) with { End = i * (Second / 100) })];

        Account account = Judge([Offer(OfferKind.Acknowledged, 1, 600)], runs);

        account.Rate(0, Second).ShouldBe(100, 1);
        account.Recovery(2 * Second, 100)!.Value.TotalSeconds.ShouldBe(1.9, 0.11);
        account.Recovery(2 * Second, 1_000).ShouldBeNull();
    }

    private static Account Judge(OfferRecord[] offers, RunRecord[] runs) => Oracle.Judge(offers, [new RunLog("w", runs, [])], Nobody);

    private static OfferRecord Offer(OfferKind kind, ulong first, int count = 1) => new() { First = first, Count = count, Kind = kind, At = 1 };

    private static RunRecord Run(ulong id, int attempt = 1, long start = Second, RunOutcome outcome = RunOutcome.Succeeded) =>
        new() { Id = id, Attempt = attempt, Token = start / Second, Start = start, End = start + 1, Outcome = outcome };
}
