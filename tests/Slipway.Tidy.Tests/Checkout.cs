namespace Slipway.Tidy.Tests;

/// <summary>One file of the checkout, with its path from the root.</summary>
internal sealed record SourceFile(string Path)
{
    public string Text { get; } = File.ReadAllText(Repo.File(Path));

    public string Name => System.IO.Path.GetFileName(Path);

    public string Folder => System.IO.Path.GetDirectoryName(Path)!.Replace('\\', '/');

    public int LineAt(int index) => 1 + Text.AsSpan(0, index).Count('\n');

    public override string ToString() => Path;
}

/// <summary>
/// What somebody wrote here: everything but what the build and git keep. Found by walking, not by asking git, because a source
/// archive has no <c>.git</c> and a bare machine no git.
/// </summary>
internal static class Checkout
{
    private static readonly string[] NotOurs = ["artifacts", ".git", "bin", "obj", "node_modules", ".vs", ".idea"];

    private static readonly string[] TextKinds =
        [".cs", ".csproj", ".props", ".slnx", ".json", ".md", ".sql", ".lua", ".sh", ".nix", ".yml", ".yaml", ".conf", ".editorconfig", ".gitignore", ""];

    /// <summary>All text files of a size that somebody may have written.</summary>
    public static IReadOnlyList<SourceFile> Files { get; } =
    [
        .. Walk(Repo.Root)
            .Where(path => TextKinds.Contains(Path.GetExtension(path)) && new FileInfo(path).Length < 1 << 20)
            .Select(path => new SourceFile(Path.GetRelativePath(Repo.Root, path).Replace('\\', '/')))
            .OrderBy(file => file.Path, StringComparer.Ordinal),
    ];

    public static IEnumerable<SourceFile> Code(string folder) =>
        Files.Where(file => file.Path.StartsWith(folder + "/", StringComparison.Ordinal) && file.Name.EndsWith(".cs", StringComparison.Ordinal));

    public static IEnumerable<SourceFile> Pages => Files.Where(file => file.Name.EndsWith(".md", StringComparison.Ordinal));

    public static IEnumerable<SourceFile> Projects => Files.Where(file => file.Name.EndsWith(".csproj", StringComparison.Ordinal));

    /// <summary>Fails with every fault on a line of its own, and the way out.</summary>
    public static void ShouldHaveNo(IEnumerable<string> faults, string cure)
    {
        var all = faults.ToList();
        if (all.Count > 0)
        {
            Assert.Fail($"{string.Join('\n', all)}\n→ {cure}");
        }
    }

    private static IEnumerable<string> Walk(string folder) =>
        Directory.EnumerateFiles(folder).Concat(
            Directory.EnumerateDirectories(folder)
                .Where(sub => !NotOurs.Contains(Path.GetFileName(sub)) && new DirectoryInfo(sub).LinkTarget is null)
                .SelectMany(Walk));
}
