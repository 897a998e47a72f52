using Slipway.Chaos.Reports;
using Slipway.Chaos.Scenarios;

namespace Slipway.Chaos.Tests;

/// <summary>The quick half of the fault matrix, as <c>slipway jobs chaos --quick</c> runs it.</summary>
public sealed class QuickHalf
{
    public static TheoryData<string> Scenarios => [.. ScenarioTable.All.Where(scenario => scenario.Quick).Select(scenario => scenario.Id)];

    [Theory]
    [MemberData(nameof(Scenarios))]
    public async Task Every_job_is_accounted_for_through(string id)
    {
        Scenario scenario = ScenarioTable.All.Single(one => one.Id == id);

        ScenarioResult result = await ChaosRun.RunOneAsync(
            scenario, new ChaosOptions { Quick = true }, text => TestContext.Current.SendDiagnosticMessage(text), TestContext.Current.CancellationToken);

        result.Checks.Where(check => !check.Passed).Select(check => $"{check.What}: {check.Detail}").ShouldBeEmpty($"{id} {scenario.Title}");
        result.Checks.ShouldNotBeEmpty();
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
