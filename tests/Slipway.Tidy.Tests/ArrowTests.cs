using System.Text.RegularExpressions;

namespace Slipway.Tidy.Tests;

/// <summary>The arrows between projects, as ARCHITECTURE.md draws them and as the project files have them.</summary>
public sealed partial class ArrowTests
{
    private static readonly string Map = File.ReadAllText(Repo.File("ARCHITECTURE.md"));

    private static Dictionary<string, SortedSet<string>> Table { get; } = TableRow().Matches(Map).ToDictionary(
        row => row.Groups[1].Value,
        row => new SortedSet<string>(Quoted().Matches(row.Groups[2].Value).Select(name => name.Groups[1].Value), StringComparer.Ordinal));

    private static IReadOnlyList<string> Features { get; } =
        [.. Regex.Matches(Regex.Match(Map, @"^ features(.*)$", RegexOptions.Multiline).Groups[1].Value, @"Slipway\.\w+").Select(match => match.Value)];

    private static IEnumerable<(string Project, SourceFile File, SortedSet<string> References)> Projects(string folder) =>
        from file in Checkout.Projects
        where file.Path.StartsWith(folder + "/", StringComparison.Ordinal)
        select (
            Path.GetFileNameWithoutExtension(file.Name),
            file,
            new SortedSet<string>(Reference().Matches(file.Text).Select(match => match.Groups[1].Value), StringComparer.Ordinal));

    [Fact]
    public void References_of_the_projects_are_those_of_the_map()
    {
        var projects = Projects("src").ToList();
        projects.Count.ShouldBeGreaterThan(5);
        Checkout.ShouldHaveNo(
            projects.Where(project => !Table.TryGetValue(project.Project, out var allowed) || !allowed.SetEquals(project.References))
                .Select(project => $"{project.File}: references {List(project.References)}; the map has {(Table.TryGetValue(project.Project, out var allowed) ? List(allowed) : "no such row")}")
                .Concat(Table.Keys.Except(projects.Select(project => project.Project)).Select(gone => $"ARCHITECTURE.md: there is no project {gone}")),
            "an arrow is a decision: change the table in ARCHITECTURE.md and the project file together, or do without the reference");
    }

    [Fact]
    public void Features_never_reference_features()
    {
        Features.ShouldNotBeEmpty();
        Checkout.ShouldHaveNo(
            from project in Projects("src")
            where Features.Contains(project.Project)
            from other in project.References.Intersect(Features)
            select $"{project.File}: references {other}",
            "let one feature offer a seam in a foundation and the other fill it; Slipway.Server composes them");
    }

    [Fact]
    public void The_test_tools_stay_out_of_the_product() => Checkout.ShouldHaveNo(
        from project in Projects("src")
        where project.References.Any(reference => reference.StartsWith("Slipway.Testing", StringComparison.Ordinal) || reference.EndsWith(".Tests", StringComparison.Ordinal))
        select $"{project.File}: references a test project",
        "move what both need into the product");

    [Fact]
    public void The_solution_has_every_project()
    {
        var solution = File.ReadAllText(Repo.File("Slipway.slnx"));
        Checkout.ShouldHaveNo(
            from folder in (string[])["src", "tests"]
            from project in Projects(folder)
            where !solution.Contains($"\"{project.File.Path}\"", StringComparison.Ordinal)
            select $"Slipway.slnx: {project.File} is missing",
            "add a Project line, or ./test will not build it");
    }

    private static string List(IReadOnlyCollection<string> names) => names.Count == 0 ? "nothing" : string.Join(", ", names);

    [GeneratedRegex(@"^\| `(Slipway\.\w+)` \|([^|]*)\|", RegexOptions.Multiline)]
    private static partial Regex TableRow();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"<ProjectReference Include=""[^""]*?([\w.]+)\.csproj""")]
    private static partial Regex Reference();
}
