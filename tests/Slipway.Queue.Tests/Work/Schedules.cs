using System.Globalization;
using Slipway.Queue.Work;

namespace Slipway.Queue.Tests.Work;

public sealed class Schedules : WorkTest
{
    [Theory]
    [InlineData("0 3 * * *", null, "2026-01-02T03:04:05Z", "2026-01-03T03:00:00Z")]
    [InlineData("*/15 * * * *", null, "2026-01-02T03:04:05Z", "2026-01-02T03:15:00Z")]
    [InlineData("5/20 * * * *", null, "2026-01-02T03:06:00Z", "2026-01-02T03:25:00Z")]
    [InlineData("*/10 * * * * *", null, "2026-01-02T03:04:05Z", "2026-01-02T03:04:10Z")]
    [InlineData("0 0 3 * * *", null, "2026-01-02T02:59:59.999Z", "2026-01-02T03:00:00Z")]
    [InlineData("0 9-17/4 * * MON-FRI", null, "2026-01-02T17:30:00Z", "2026-01-05T09:00:00Z")]
    [InlineData("0 0 1,15 * *", null, "2026-01-02T00:00:00Z", "2026-01-15T00:00:00Z")]
    [InlineData("0 0 13 * FRI", null, "2026-01-02T12:00:00Z", "2026-01-09T00:00:00Z")]
    [InlineData("0 0 29 2 *", null, "2026-01-02T00:00:00Z", "2028-02-29T00:00:00Z")]
    [InlineData("0 0 * jan,Jul *", null, "2026-02-02T00:00:00Z", "2026-07-01T00:00:00Z")]
    [InlineData("0 0 * * 7", null, "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z")]
    [InlineData("@daily", null, "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")]
    [InlineData("@hourly", null, "2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z")]
    [InlineData("@weekly", null, "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z")]
    [InlineData("@monthly", null, "2026-01-02T00:00:00Z", "2026-02-01T00:00:00Z")]
    [InlineData("@yearly", null, "2026-01-02T00:00:00Z", "2027-01-01T00:00:00Z")]
    [InlineData("0 3 * * *", "Europe/Berlin", "2026-01-02T00:00:00Z", "2026-01-02T02:00:00Z")]
    [InlineData("0 3 * * *", "Asia/Kolkata", "2026-01-02T00:00:00Z", "2026-01-02T21:30:00Z")]
    // 29 March 2026, Berlin: 02:00 is followed by 03:00 (01:00 UTC). What is skipped fires at the gap's end, once.
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z")]
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z")]
    [InlineData("15,45 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:15:00Z")]
    [InlineData("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z")]
    [InlineData("0 2,3 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z")]
    // 25 October 2026, Berlin: 03:00 is followed by 02:00 (01:00 UTC). What comes twice fires the first time.
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z")]
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z")]
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z")]
    // Every hour is every hour.
    [InlineData("30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")]
    [InlineData("0 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z")]
    [InlineData("*/20 * * * *", "Europe/Berlin", "2026-10-25T00:40:00Z", "2026-10-25T01:00:00Z")]
    [InlineData("30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z")]
    // Samoa left out all of 30 December 2011.
    [InlineData("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z")]
    public void The_next_time_is(string expression, string? zone, string after, string next) =>
        CronExpression.Parse(expression, zone).NextAfter(Moment(after)).ShouldBe(Moment(next));

    [Theory]
    [InlineData("0 3 * *", null, "five fields")]
    [InlineData("60 3 * * *", null, "0–59")]
    [InlineData("0 3 0 * *", null, "day of month")]
    [InlineData("5-2 3 * * *", null, "no range")]
    [InlineData("*/0 3 * * *", null, "step")]
    [InlineData("0 3 * * FUNDAY", null, "SUN–SAT")]
    [InlineData("0 0 31 2 *", null, "never fires")]
    [InlineData("@sometimes", null, "five fields")]
    [InlineData("0 3 * * *", "Europe/Atlantis", "time zone")]
    public void What_is_no_schedule_is_refused(string expression, string? zone, string why) =>
        Should.Throw<FormatException>(() => CronExpression.Parse(expression, zone)).Message.ShouldContain(why);

    [Fact]
    public void Slots_of_a_year_go_forward_and_none_comes_twice()
    {
        foreach (string expression in (string[])["*/30 * * * *", "0 */2 * * *", "30 1,2,3 * * *", "0 0 * * 1"])
        {
            CronExpression cron = CronExpression.Parse(expression, "Europe/Berlin");
            DateTimeOffset at = Moment("2026-01-01T00:00:00Z"), end = at.AddYears(1);
            int count = 0;
            for (; at < end; count++)
            {
                DateTimeOffset next = cron.NextAfter(at)!.Value;
                next.ShouldBeGreaterThan(at);
                cron.NextAfter(next.AddMilliseconds(-1)).ShouldBe(next, "a slot is found from right before it");
                at = next;
            }

            int usual = expression switch { "*/30 * * * *" => 365 * 48, "0 */2 * * *" => 365 * 12, "30 1,2,3 * * *" => 365 * 3, _ => 52 };
            count.ShouldBeInRange(usual - 1, usual + 1, expression);
        }
    }

    [Fact]
    public async Task Each_slot_is_fired_once_by_however_many_schedulers()
    {
        WorkQueue[] all = [Open(), Open(), Open()];
        foreach (WorkQueue queue in all)
        {
            queue.Cron("often", "*/10 * * * * *", Draft());
            await queue.StartAsync(Token);
        }

        await Time.WaitForTimersAsync(3, Token);
        await AdvanceUntilAsync(() => Broker.Fired.Count >= 5, TimeSpan.FromMilliseconds(500));
        Broker.Fired.Select(fired => fired.Slot).ShouldBe(
            Enumerable.Range(0, Broker.Fired.Count).Select(i => Moment("2026-01-02T03:04:10Z").AddSeconds(10 * i)));
        Broker.ReadyCount.ShouldBe(Broker.Fired.Count);
    }

    [Fact]
    public async Task Schedules_go_by_the_servers_clock()
    {
        Broker.Skew = TimeSpan.FromHours(5);
        WorkQueue queue = Open();
        queue.Cron("daily", "5 8 * * *", Draft());
        await queue.StartAsync(Token);
        await Time.WaitForTimersAsync(1, Token);
        // Here it is 03:04:05, there 08:04:05.
        await AdvanceUntilAsync(() => Broker.Fired.Count == 1, TimeSpan.FromSeconds(1));
        Broker.Fired.Single().Slot.ShouldBe(Moment("2026-01-02T08:05:00Z"));
        Time.GetUtcNow().ShouldBeInRange(Moment("2026-01-02T03:04:59Z"), Moment("2026-01-02T03:06:00Z"));
    }

    [Theory]
    [InlineData(0, new string[0])]
    [InlineData(1, new[] { "2026-01-02T03:00:00Z" })]
    [InlineData(3, new[] { "2026-01-02T01:00:00Z", "2026-01-02T02:00:00Z", "2026-01-02T03:00:00Z" })]
    public async Task Missed_slots_follow_the_policy(int most, string[] expected)
    {
        Broker.SetLastFired("hourly", Moment("2026-01-01T12:00:00Z"));
        WorkQueue queue = Open();
        queue.Cron("hourly", "@hourly", Draft(), most switch { 0 => CatchUp.None, 1 => CatchUp.Once, _ => CatchUp.All(most) });
        await queue.StartAsync(Token);
        await Time.WaitForTimersAsync(1, Token);
        Broker.Fired.Select(fired => fired.Slot).ShouldBe(expected.Select(Moment));
        await AdvanceUntilAsync(() => Broker.Fired.Count == expected.Length + 1, TimeSpan.FromSeconds(30));
        Broker.Fired.Last().Slot.ShouldBe(Moment("2026-01-02T04:00:00Z"));
    }

    [Fact]
    public async Task A_scheduler_goes_on_after_an_outage_and_fires_late()
    {
        WorkQueue queue = Open();
        queue.Cron("hourly", "@hourly", Draft());
        await queue.StartAsync(Token);
        await Time.WaitForTimersAsync(1, Token);
        Broker.Before = call => call == "fire" ? throw new IOException("down") : Task.CompletedTask;
        await AdvanceUntilAsync(() => Broker.Calls.Count(call => call == "fire") > 3, TimeSpan.FromSeconds(20));
        Broker.Before = _ => Task.CompletedTask;
        await AdvanceUntilAsync(() => Broker.Fired.Count == 1, TimeSpan.FromMilliseconds(200));
        Broker.Fired.Single().Slot.ShouldBe(Moment("2026-01-02T04:00:00Z"));
    }

    private static DateTimeOffset Moment(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);
}
