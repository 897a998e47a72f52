using System.Text.RegularExpressions;

namespace Slipway.Tidy.Tests;

/// <summary>What the pages name has to exist: a guide that leads nowhere is worse than none.</summary>
public sealed partial class PageTests
{
    private static readonly Lazy<HashSet<string>> Words = new(() =>
        [.. Checkout.Files
            .Where(file => !file.Name.EndsWith(".md", StringComparison.Ordinal) && !file.Path.StartsWith("tests/Slipway.Tidy.Tests/", StringComparison.Ordinal))
            .SelectMany(file => Word().Matches(file.Text)).Select(match => match.Value)]);

    private static readonly Lazy<HashSet<string>> FileNames = new(() => [.. Checkout.Files.Select(file => file.Name)]);

    [Fact]
    public void Links_lead_somewhere() => Checkout.ShouldHaveNo(
        from page in Checkout.Pages
        from Match link in Link().Matches(page.Text)
        let target = link.Groups[1].Value.Split('#')[0]
        where target.Length > 0 && !target.Contains("://", StringComparison.Ordinal) && !target.StartsWith("mailto:", StringComparison.Ordinal)
        where !Path.Exists(Path.Combine(Repo.Root, page.Folder, target))
        select $"{page}:{page.LineAt(link.Index)}: {target}",
        "mend the link: it is relative to the page it stands on");

    [Fact]
    public void Paths_in_the_pages_exist() => Checkout.ShouldHaveNo(
        from page in Checkout.Pages
        from Match path in RepositoryPath().Matches(page.Text)
        let target = path.Value.TrimEnd('.', '/')
        where !Path.Exists(Repo.File(target)) && !Path.Exists(Path.Combine(Repo.Root, page.Folder, target))
        select $"{page}:{page.LineAt(path.Index)}: {target}",
        "the file was moved or renamed: say where it is now");

    [Fact]
    public void File_and_type_names_in_the_pages_exist() => Checkout.ShouldHaveNo(
        from page in Checkout.Pages
        from Match quoted in Quoted().Matches(page.Text)
        let name = quoted.Groups[1].Value
        where FileName().IsMatch(name) ? !FileNames.Value.Contains(name) : TypeName().Match(name) is { Success: true } type && !Known(type)
        select $"{page}:{page.LineAt(quoted.Index)}: {name}",
        "the name is of nothing in src/ or tests/: say what it is called now");

    [Theory]
    [InlineData("see `NoSuchThingHere` and `Digest`", "NoSuchThingHere")]
    [InlineData("see `Changes.NoSuchCallAsync`", "Changes.NoSuchCallAsync")]
    [InlineData("see `nowhere.lua`", "nowhere.lua")]
    public void A_name_of_nothing_is_found(string text, string expected) => Quoted().Matches(text).Select(quoted => quoted.Groups[1].Value)
        .Where(name => FileName().IsMatch(name) ? !FileNames.Value.Contains(name) : TypeName().Match(name) is { Success: true } type && !Known(type))
        .ShouldBe([expected]);

    private static bool Known(Match type) => type.Groups[1].Value.Split('.') is var parts
        && (parts[0] == "Slipway" && parts.Length > 1
            ? Directory.Exists(Repo.File("src/" + type.Groups[1].Value)) || Directory.Exists(Repo.File("tests/" + type.Groups[1].Value))
            : parts.All(Words.Value.Contains));

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    // Only what is meant as one: no placeholder (<Noun>, …, *) right behind it.
    [GeneratedRegex(@"(?<![\w./-])(?:src|tests|docs|\.ci)/(?>[\w./-]+)(?![<…*{])")]
    private static partial Regex RepositoryPath();

    [GeneratedRegex("`([^`\n]+)`")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"^(?!000N)[\w-]+\.(?:cs|md|sql|lua|csproj|slnx|props)$")]
    private static partial Regex FileName();

    // PascalCase with at least two humps, or dotted: a plain capitalised word may be anything.
    [GeneratedRegex(@"^((?:[A-Z][a-z0-9]+){2,}|[A-Z]\w+(?:\.[A-Z]\w+)+)(?:<[\w, ]+>)?(?:\(\))?$")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"\b[A-Z]\w+\b")]
    private static partial Regex Word();
}
