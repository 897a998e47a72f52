using System.Text.RegularExpressions;

namespace Slipway.Tidy.Tests;

/// <summary>A rule that can be read off the text of one file.</summary>
/// <param name="Broken">A line that breaks it: the rule has to find this, or it finds nothing.</param>
/// <param name="Kept">A line that looks alike and is fine.</param>
public sealed record TextRule(string Name, string Pattern, Func<string, bool> Applies, string Cure, string Broken, string Kept)
{
    public IEnumerable<int> PlacesIn(string text) => Regex.Matches(text, Pattern, RegexOptions.Multiline).Select(match => match.Index);

    public override string ToString() => Name;
}

public sealed class TextRules
{
    private static readonly TextRule[] Rules =
    [
        new(
            "tests never sleep",
            @"\bThread\.Sleep\(|\bTask\.Delay\((?![^;]*,\s*time\b)",
            path => path.StartsWith("tests/", StringComparison.Ordinal) && !path.StartsWith("tests/Slipway.Testing/", StringComparison.Ordinal) && path.EndsWith(".cs", StringComparison.Ordinal),
            "wait for the state itself (Eventually), for a signal, or move a ManualTimeProvider",
            "await Task.Delay(100, cancellationToken);",
            "await Task.Delay(TimeSpan.FromSeconds(5), time, cancellationToken);"),
        new(
            "tests are skipped only under a condition",
            @"\[(?:Fact|Theory)\([^\]]*\bSkip\s*=(?![^\]]*Skip(?:When|Unless)\s*=)",
            path => path.EndsWith(".cs", StringComparison.Ordinal),
            "mend the test or delete it; what a machine may lack is asked with Assert.SkipUnless, in the test",
            "[Fact(Skip = \"flaky\")]",
            "[Fact(Skip = \"needs nix\", SkipUnless = nameof(HasNix))]"),
        new(
            "nothing is left for later in the code",
            @"\b(?:TODO|FIXME|HACK|XXX)\b|\bNotImplementedException\b",
            path => path.EndsWith(".cs", StringComparison.Ordinal) || path.EndsWith(".sql", StringComparison.Ordinal) || path.EndsWith(".lua", StringComparison.Ordinal),
            "do it, or leave it out and write an issue",
            "// TODO: limits",
            "var todo = bundles.SelectMany(bundle => bundle.Paths);"),
        new(
            "types are named after a concept",
            @"\b(?:class|struct|record|interface|enum)\s+(?:class\s+|struct\s+)?(?:\w*(?:Util|Utils|Utility|Utilities|Helper|Helpers|Manager|Common))\b(?!\s+\w+\s*=)",
            path => path.EndsWith(".cs", StringComparison.Ordinal),
            "say what it does and put it beside its user (STYLE.md, Names)",
            "internal static class PathHelpers",
            "internal static class CommonOptions"),
        new(
            "no async void",
            @"\basync\s+void\b",
            path => path.EndsWith(".cs", StringComparison.Ordinal),
            "return a Task and let its owner await it: what an async void throws ends the process",
            "private async void Loop()",
            "private async ValueTask Loop()"),
        new(
            "no paths of one machine",
            @"(?<![\w.$}*])/(?:home/(?!\w*[<$])\w+/|Users/\w+/|" + "wo" + @"rk/\w|ro" + @"ot/\w)|\b[A-Z]:\\Users\\",
            _ => true,
            "say it relative to the checkout, or by $HOME, XDG or a temporary folder",
            "cp /home/ada/" + "x .",
            "cp ~/.local/share/slipway/x /tmp/y"),
        new(
            "no package registry is named",
            @"(?i)\b[\w.-]*(?:nuget|npmjs|pypi|artifactory|nexus)[\w-]*\.(?:org|com|io|net|local|internal)\b",
            _ => true,
            "leave it out: where packages come from is the machine's business",
            "<add key=\"x\" value=\"https://api.nu" + "get.org/v3/index.json\" />",
            "builder.Services.AddNuGetless();"),
    ];

    public static TheoryData<TextRule> All => [.. Rules];

    [Theory]
    [MemberData(nameof(All), DisableDiscoveryEnumeration = true)]
    public void Every_file_keeps(TextRule rule) => Checkout.ShouldHaveNo(
        from file in Checkout.Files
        where !file.Path.StartsWith("tests/Slipway.Tidy.Tests/", StringComparison.Ordinal) && rule.Applies(file.Path)
        from place in rule.PlacesIn(file.Text)
        select $"{file}:{file.LineAt(place)}: {rule.Name}",
        rule.Cure);

    [Theory]
    [MemberData(nameof(All), DisableDiscoveryEnumeration = true)]
    public void Every_rule_finds_what_breaks_it_and_only_that(TextRule rule)
    {
        rule.PlacesIn("\n    " + rule.Broken + "\n").ShouldNotBeEmpty(rule.Broken);
        rule.PlacesIn("\n    " + rule.Kept + "\n").ShouldBeEmpty(rule.Kept);
    }
}
