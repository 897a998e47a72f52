using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>A monorepo of two packages, each with a build that writes the time into its output: a restored output is the same file.</summary>
internal sealed class NodeWorkspace : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly string program;

    private NodeWorkspace(string program, string nodeModules)
    {
        this.program = Path.Combine(nodeModules, ".bin", program);
        foreach (var name in Packages)
        {
            Write($"packages/{name}/package.json", $$$"""
                {"name": "{{{name}}}", "version": "1.0.0", "scripts": {"build": "mkdir -p dist && date +%s%N > dist/out.txt && echo built {{{name}}}"}}
                """);
        }

        Write("package-lock.json", """
            {"name": "lab", "lockfileVersion": 3, "requires": true, "packages": {
              "": {"name": "lab", "workspaces": ["packages/*"]},
              "node_modules/left": {"resolved": "packages/left", "link": true},
              "node_modules/right": {"resolved": "packages/right", "link": true},
              "packages/left": {"version": "1.0.0"}, "packages/right": {"version": "1.0.0"}}}
            """);
        // Outputs are no inputs.
        Write(".gitignore", "dist\nnode_modules\n.turbo\n.nx\n");
    }

    private static readonly string[] Packages = ["left", "right"];

    public static async Task<NodeWorkspace> OfTurboAsync(bool signed)
    {
        var workspace = new NodeWorkspace("turbo", await Downloads.NpmAsync("turbo@2.11.11"));
        workspace.Write("package.json", """{"name": "lab", "private": true, "packageManager": "npm@10.8.2", "workspaces": ["packages/*"]}""");
        workspace.Write("turbo.json", """{"remoteCache": {"signature": SIGNED}, "tasks": {"build": {"outputs": ["dist/**"]}}}""".Replace("SIGNED", signed ? "true" : "false", StringComparison.Ordinal));
        return await workspace.AsRepositoryAsync();
    }

    public static async Task<NodeWorkspace> OfNxAsync()
    {
        var nodeModules = await Downloads.NpmAsync("nx@24.0.6");
        var workspace = new NodeWorkspace("nx", nodeModules);
        workspace.Write("package.json", """{"name": "lab", "private": true, "workspaces": ["packages/*"]}""");
        workspace.Write("nx.json", """{"analytics": false, "targetDefaults": {"build": {"cache": true, "outputs": ["{projectRoot}/dist"]}}}""");
        Directory.CreateSymbolicLink(workspace.folder.File("node_modules"), nodeModules);
        return await workspace.AsRepositoryAsync();
    }

    /// <summary>Runs the tool as if on a fresh machine: nothing built, no local cache.</summary>
    public async Task<Ran> RunFreshAsync(string[] arguments, IReadOnlyDictionary<string, string?> environment)
    {
        foreach (var name in (string[])[".turbo", ".nx", .. Packages.SelectMany(name => (string[])[$"packages/{name}/dist", $"packages/{name}/.turbo"])])
        {
            if (Directory.Exists(folder.File(name)))
            {
                Directory.Delete(folder.File(name), recursive: true);
            }
        }

        return await Run.ProgramAsync(program, arguments, new Dictionary<string, string?>(environment)
        {
            ["HOME"] = folder.Folder("home"),
            ["TURBO_TELEMETRY_DISABLED"] = "1",
            ["NX_NO_CLOUD"] = "true",
            // No process of its own that would stay.
            ["NX_DAEMON"] = "false",
            ["CI"] = "1",
        }, folder: folder.Path);
    }

    /// <summary>What the builds wrote, in order.</summary>
    public string Outputs() => string.Concat(Packages.Select(name => File.ReadAllText(folder.File($"packages/{name}/dist/out.txt"))));

    public void Dispose() => folder.Dispose();

    private void Write(string path, string text) => File.WriteAllText(folder.File(path), text);

    private async Task<NodeWorkspace> AsRepositoryAsync()
    {
        (await Run.ProgramAsync("git", ["init", "-q", folder.Path])).ShouldSucceed();
        (await Run.ProgramAsync("git", ["-C", folder.Path, "add", "-A"])).ShouldSucceed();
        return this;
    }
}
