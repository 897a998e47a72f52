using System.Globalization;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>Debian's ccache with only a remote storage: what it finds, it found there.</summary>
internal sealed class Ccache : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly string program = Downloads.Installed("ccache", "ccache");
    private readonly string storage;

    /// <param name="storage">As in <c>CCACHE_REMOTE_STORAGE</c>.</param>
    public Ccache(string storage) => this.storage = storage;

    public async Task<Ran> CompileAsync(string source)
    {
        File.WriteAllText(folder.File("unit.c"), source);
        return await RunAsync("gcc", "-c", "unit.c", "-o", "unit.o");
    }

    /// <summary>The counter of that name in <c>ccache --print-stats</c>, like <c>remote_storage_hit</c>.</summary>
    public async Task<int> CountAsync(string name)
    {
        var statistics = (await RunAsync("--print-stats")).ShouldSucceed();
        var line = statistics.Output.Split('\n').SingleOrDefault(line => line.StartsWith(name + "\t", StringComparison.Ordinal));
        return line is null ? throw new ShouldAssertException(statistics.ToString()) : int.Parse(line.Split('\t')[1], CultureInfo.InvariantCulture);
    }

    public void Dispose() => folder.Dispose();

    private Task<Ran> RunAsync(params string[] arguments) => Run.ProgramAsync(program, arguments, new Dictionary<string, string?>
    {
        ["CCACHE_DIR"] = folder.Folder("ccache"),
        ["CCACHE_REMOTE_ONLY"] = "1",
        ["CCACHE_REMOTE_STORAGE"] = storage,
        ["CCACHE_LOGFILE"] = folder.File("log"),
    }, folder: folder.Path);
}
