using System.Reflection;
using System.Text.RegularExpressions;
using Slipway.Api;

namespace Slipway.Tidy.Tests;

public sealed partial class CodeTests
{
    [Fact]
    public void Sources_begin_with_code_and_have_a_file_scoped_namespace_of_their_project() => Checkout.ShouldHaveNo(
        Checkout.Code("src").Where(file => file.Name is not ("Program.cs" or "AssemblyInfo.cs")).SelectMany(file =>
        {
            var faults = new List<string>();
            if (!FirstLine().IsMatch(file.Text))
            {
                faults.Add($"{file}:1: begins with \"{file.Text.Split('\n')[0]}\"");
            }

            var project = file.Path.Split('/')[1];
            if (Namespace().Match(file.Text) is not { Success: true } match || !$"{match.Groups[1].Value}.".StartsWith(project + ".", StringComparison.Ordinal))
            {
                faults.Add($"{file}: has no \"namespace {project}…;\"");
            }

            return faults;
        }),
        "the licence is in LICENSE and not in each file: begin with the usings, then `namespace <project>.<folder>;`");

    [Fact]
    public void Migrations_are_numbered_without_gaps()
    {
        var folders = Checkout.Files
            .Where(file => file.Path.StartsWith("src/", StringComparison.Ordinal) && file.Name.EndsWith(".sql", StringComparison.Ordinal))
            .GroupBy(file => file.Folder).ToList();
        folders.ShouldNotBeEmpty();
        Checkout.ShouldHaveNo(
            from folder in folders
            from pair in folder.OrderBy(file => file.Name, StringComparer.Ordinal).Select((file, at) => (file, number: at + 1))
            where !Regex.IsMatch(pair.file.Name, $"^{pair.number:0000}_[a-z0-9_]+\\.sql$")
            select $"{pair.file}: expected {pair.number:0000}_what_it_does.sql",
            "number migrations 0001, 0002, … in each folder, and name them in lower case (docs/recipes/add-a-migration.md)");
    }

    [Fact]
    public void Every_route_is_mapped_by_the_server_and_called_by_the_client()
    {
        var routes = typeof(Routes).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(field => field.IsLiteral && ((string)field.GetRawConstantValue()!).StartsWith("/v1/", StringComparison.Ordinal))
            .Select(field => field.Name).ToList();
        routes.Count.ShouldBeGreaterThan(20);
        var client = Uses(Checkout.Code("src/Slipway.Api/Client"), @"\bRoutes\.(\w+)");
        var server = Uses(
            Checkout.Code("src").Where(file => !file.Path.StartsWith("src/Slipway.Api/", StringComparison.Ordinal)),
            @"\.Map(?:Get|Post|Put|Patch|Delete|Methods)\(\s*Routes\.(\w+)");
        Checkout.ShouldHaveNo(
            routes.Where(route => !server.Contains(route)).Select(route => $"Routes.{route} is not mapped with Map…(Routes.{route}, …)")
                .Concat(routes.Where(route => !client.Contains(route)).Select(route => $"Routes.{route} is not used in src/Slipway.Api/Client")),
            "follow docs/recipes/add-an-endpoint.md to its end, or remove the route");
    }

    [Fact]
    public void The_changelog_has_an_entry_for_the_version_being_built()
    {
        var version = Regex.Match(File.ReadAllText(Repo.File("Directory.Build.props")), "<Version>([^<]+)</Version>").Groups[1].Value;
        version.ShouldNotBeEmpty();
        Checkout.ShouldHaveNo(
            Regex.IsMatch(File.ReadAllText(Repo.File("CHANGELOG.md")), $@"^## {Regex.Escape(version)}\b", RegexOptions.Multiline) ? [] : [$"CHANGELOG.md: no \"## {version}\""],
            "say what users of this version notice, under a heading with its number");
    }

    private static HashSet<string> Uses(IEnumerable<SourceFile> files, string pattern) =>
        [.. files.SelectMany(file => Regex.Matches(file.Text, pattern)).Select(match => match.Groups[1].Value)];

    [GeneratedRegex(@"\A(?:using |namespace |\[assembly:|global using |#)")]
    private static partial Regex FirstLine();

    [GeneratedRegex(@"^namespace ([\w.]+);\r?$", RegexOptions.Multiline)]
    private static partial Regex Namespace();
}
