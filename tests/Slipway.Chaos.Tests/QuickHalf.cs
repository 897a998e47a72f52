using Slipway.Chaos.Reports;
using Slipway.Chaos.Scenarios;

namespace Slipway.Chaos.Tests;

/// <summary>The quick half of the fault matrix, as <c>slipway jobs chaos --quick</c> runs it.</summary>
public sealed class QuickHalf
{
    public static TheoryData<string> Scenarios => [.. ScenarioTable.All.Where(scenario => scenario.Quick).Select(scenario => scenario.Id)];

    [Theory]
    [MemberData(nameof(Scenarios))]
    [Trait("speed", "slow")]
    public async Task Every_job_is_accounted_for_through(string id)
    {
        Scenario scenario = ScenarioTable.All.Single(one => one.Id == id);

        var options = new ChaosOptions { Quick = true, KeepLogs = false };
        ScenarioResult result = await ChaosRun.RunOneAsync(
            scenario, options, text => TestContext.Current.SendDiagnosticMessage(text), TestContext.Current.CancellationToken);

        // Aims of speed are for the report: this machine may have other things to do.
        result.Checks.Where(check => check is { IsAim: false, Passed: false }).Select(check => $"{check.What}: {check.Detail}")
            .ShouldBeEmpty($"{id} {scenario.Title}; again, with logs: slipway jobs chaos --quick --only {id} --seed {options.Seed}");
        result.Passed.ShouldBeTrue();
    }

    [Fact]
    public async Task An_aim_of_speed_that_is_missed_fails_nothing_and_a_check_does()
    {
        async Task<ScenarioResult> RunAsync(Action<Stage> found) => await ChaosRun.RunOneAsync(
            new Scenario("T", "of the test", true, "in-process", stage =>
            {
                found(stage);
                return Task.CompletedTask;
            }),
            new ChaosOptions { Quick = true, KeepLogs = false }, _ => { }, TestContext.Current.CancellationToken);

        ScenarioResult slow = await RunAsync(stage =>
        {
            stage.Check("all ran", true, "10 of 10");
            stage.Aim("within 1 s", false, "2 s");
        });
        (slow.Passed, slow.AimsMissed).ShouldBe((true, 1));
        (await RunAsync(stage => stage.Check("all ran", false, "9 of 10"))).Passed.ShouldBeFalse();
        (await RunAsync(stage => stage.Aim("within 1 s", true, "0 s"))).Passed.ShouldBeFalse("nothing was checked");
        (await RunAsync(_ => throw new InvalidOperationException("no Redis"))).Passed.ShouldBeFalse();
    }

    [Fact]
    public void It_is_half_of_the_matrix()
    {
        string[] lines = [.. ScenarioTable.All.Where(scenario => scenario.Quick).Select(scenario => scenario.Id)];

        lines.Length.ShouldBeGreaterThanOrEqualTo(14);
        ScenarioTable.All.Select(scenario => scenario.Id).ShouldBeUnique();
        Enumerable.Range(1, 28).ShouldAllBe(number => ScenarioTable.All.Any(scenario => scenario.Id == $"F{number}"));
    }

    [Theory]
    [InlineData("--only", "F99")]
    [InlineData("--seconds", "0")]
    [InlineData("--report", null)]
    [InlineData("--louder", null)]
    public void A_word_that_is_not_understood_is_named(string word, string? value)
    {
        string[] words = value is null ? [word] : [word, value];

        ArgumentException fault = Should.Throw<ArgumentException>(() => ChaosOptions.Parse(words));

        fault.Message.ShouldContain(value ?? word);
    }

    [Fact]
    public void F6_means_its_variants_too() =>
        ScenarioTable.All.Where(scenario => scenario.IsMeantBy("f6")).Select(scenario => scenario.Id).ShouldBe(["F6", "F6E", "F6N"]);
}
