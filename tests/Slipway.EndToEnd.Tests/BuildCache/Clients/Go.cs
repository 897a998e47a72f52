using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>Go 1.24 of Debian trixie: the first with <c>GOCACHEPROG</c> for everybody.</summary>
internal sealed class Go : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly string root;

    private Go(string root) => this.root = root;

    public static async Task<Go> OfDebianAsync() =>
        new(Path.Combine(await Downloads.DebianAsync("trixie", "golang-1.24-go", "golang-1.24-src"), "usr/lib/go-1.24"));

    /// <summary>Runs the go command on a program of one file; <paramref name="environment"/> says where the cache is.</summary>
    public async Task<Ran> RunAsync(string main, string[] arguments, IReadOnlyDictionary<string, string?> environment)
    {
        File.WriteAllText(folder.File("go.mod"), "module lab\ngo 1.24\n");
        File.WriteAllText(folder.File("main.go"), main);
        return await Run.ProgramAsync(Path.Combine(root, "bin/go"), arguments, new Dictionary<string, string?>(environment)
        {
            ["HOME"] = folder.Folder("home"),
            ["GOPATH"] = folder.Folder("gopath"),
            ["GOROOT"] = root,
            ["GOTOOLCHAIN"] = "local",
            ["GOPROXY"] = "off",
            ["CGO_ENABLED"] = "0",
        }, folder: folder.Path);
    }

    public string EmptyFolder() => folder.Folder(Guid.NewGuid().ToString("N"));

    public void Dispose() => folder.Dispose();
}
