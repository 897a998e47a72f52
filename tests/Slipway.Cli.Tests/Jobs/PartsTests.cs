using System.Text;
using System.Text.Json;
using Shouldly;
using Slipway.Api;
using Slipway.Cli.Jobs.Producing;
using Slipway.Cli.Jobs.Working;
using Slipway.Cli.Shell;
using Slipway.Testing;
using Xunit;

namespace Slipway.Cli.Tests.Jobs;

public sealed class PartsTests
{
    [Theory]
    [InlineData("echo {}", "echo|P")]
    [InlineData("a  'b c'\t\"d \\\" {}\" e\\ f", "a|b c|d \" P|e f")]
    [InlineData("x --file={} '' {.to} {.n}{.list}", "x|--file=P||Ann; rm -rf|7[1,2]")]
    [InlineData("awk '{print $1}' '{'", "awk|{print $1}|{")]
    public void A_command_is_parted_once_and_payloads_stay_whole(string text, string words)
    {
        var payload = """{"to":"Ann; rm -rf","n":7,"list":[1,2]}""";

        var line = CommandLine.Parse(text);

        string.Join('|', [line.Program, .. line.ArgumentsFor(Job(payload))]).ShouldBe(words.Replace("P", payload, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("")]
    [InlineData("'open")]
    [InlineData("{} x")]
    public void A_command_that_is_none_is_refused(string text) => Should.Throw<CliFailure>(() => CommandLine.Parse(text)).ExitCode.ShouldBe(ExitCodes.Usage);

    [Theory]
    [InlineData("\"a\\u0000b\"", "x {.a}")]
    [InlineData("{\"a\":\"x\\u0000y\"}", "x {.a}")]
    [InlineData("{\"b\":1}", "x {.a}")]
    public void What_can_not_be_an_argument_says_so(string payload, string text) =>
        Should.Throw<UnfitPayloadException>(() => CommandLine.Parse(text).ArgumentsFor(Job(payload)));

    [Theory]
    [InlineData("**/*.csv", "a.csv b/c.csv b/d/e.csv", "a.csvx b/c.CSV")]
    [InlineData("*.csv", "a.csv b/c.csv", "csv")]
    [InlineData("in/*.{csv,t?v}", "in/a.csv in/b.tsv", "in/x/a.csv in/b.tv")]
    [InlineData("**/tmp", "tmp a/tmp a/b/tmp", "tmpx tmp/a")]
    [InlineData("a/**", "a/b a/b/c", "b/a")]
    [InlineData("[!a]?[0-9].log", "bx1.log", "ax1.log b/1.log")]
    [InlineData("a.b+c", "a.b+c", "axb+c a.bbc")]
    public void Patterns_fit_paths_as_people_expect(string pattern, string fits, string fitsNot)
    {
        var glob = new Glob(pattern);
        fits.Split(' ').ShouldAllBe(path => glob.Matches(path));
        fitsNot.Split(' ').ShouldAllBe(path => !glob.Matches(path));
    }

    [Theory]
    [InlineData("500ms", 0.5)]
    [InlineData("1.5h", 5400)]
    [InlineData("10m", 600)]
    [InlineData("0", 0)]
    public void Times_have_units(string text, double seconds)
    {
        Quantities.TryDuration(text, out var time).ShouldBeTrue();
        time.TotalSeconds.ShouldBe(seconds);
        Quantities.TryDuration("30", out _).ShouldBeFalse();
        Quantities.TryDuration("-1s", out _).ShouldBeFalse();
    }

    [Fact]
    public async Task A_pace_is_kept_on_average_and_quiet_times_are_not_saved_up()
    {
        var time = new ManualTimeProvider();
        var start = time.GetTimestamp();
        var pace = new Pace(100, time);
        pace.Burst.ShouldBe(5);

        await pace.WaitAsync(5, TestContext.Current.CancellationToken);
        var second = pace.WaitAsync(5, TestContext.Current.CancellationToken);
        time.Advance(TimeSpan.FromMilliseconds(49));
        second.IsCompleted.ShouldBeFalse();
        // Woken late: the next wait is shorter by as much.
        time.Advance(TimeSpan.FromMilliseconds(11));
        await second;
        var third = pace.WaitAsync(5, TestContext.Current.CancellationToken);
        time.Advance(TimeSpan.FromMilliseconds(40));
        await third;
        time.GetElapsedTime(start).TotalMilliseconds.ShouldBe(100, 0.1);

        time.Advance(TimeSpan.FromMinutes(1));
        await pace.WaitAsync(5, TestContext.Current.CancellationToken);
        pace.WaitAsync(5, TestContext.Current.CancellationToken).IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public void Webhook_signatures_are_those_of_the_specification()
    {
        // The example of the Standard Webhooks libraries.
        var signer = StandardWebhook.Parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "test");

        signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, Encoding.UTF8.GetBytes("{\"test\": 2432232314}"))
            .ShouldBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        Should.Throw<CliFailure>(() => StandardWebhook.Parse("whsec_c2hvcnQ=", "test"));
        Should.Throw<CliFailure>(() => StandardWebhook.Parse("", "test"));
    }

    [Fact]
    public async Task An_output_is_kept_to_a_bound()
    {
        var tail = new OutputTail(10, keepEnd: true);
        await tail.CopyAsync(new MemoryStream(Encoding.UTF8.GetBytes(new string('a', 100_000) + "\nthe end")), _ => { }, TestContext.Current.CancellationToken);
        Encoding.UTF8.GetString(tail.Bytes).ShouldBe("aa\nthe end");

        List<string> lines = [];
        var head = new OutputTail(4, keepEnd: false);
        await head.CopyAsync(new MemoryStream("äb\nc"u8.ToArray()), lines.Add, TestContext.Current.CancellationToken);
        head.IsCut.ShouldBeTrue();
        lines.ShouldBe(["äb", "c"]);
    }

    private static RunningJob Job(string payload) => new(
        "acme", "mail", 1,
        new LeasedJob(Guid.NewGuid(), "t", JsonElement.Parse(payload), null, 3, 1, 0, DateTimeOffset.UnixEpoch, 0, 0, null, null, false, 1, null, false, null));
}
