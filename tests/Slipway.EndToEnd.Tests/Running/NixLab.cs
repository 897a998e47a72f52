namespace Slipway.EndToEnd.Tests.Running;

/// <summary>
/// The real nix client with a configuration of its own, and paths to push. Uses /nix/store, so it needs root; it leaves what
/// others have there alone.
/// </summary>
public sealed class NixLab : IAsyncLifetime
{
    private readonly TempFolder folder = new();
    private int stores;

    /// <summary>The top of a closure of three paths, with references and a self reference.</summary>
    public string Chain { get; private set; } = "";

    /// <summary>The top of a closure of 2,001 small paths.</summary>
    public string Tree { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        if (Unusable is not null)
        {
            return;
        }

        File.WriteAllText(folder.File("conf/nix.conf"), """
            sandbox = false
            build-users-group =
            substituters =
            experimental-features = nix-command ca-derivations

            """);
        Chain = (await BuildAsync("chain.nix", "c")).Trim();
        Tree = (await NixAsync("nix-instantiate", "--eval", "--read-write-mode", "--strict", Lab("tree.nix"))).ShouldSucceed().Output.Trim().Trim('"');
    }

    /// <summary>Why nix can't be used here, or null.</summary>
    public static string? Unusable { get; } =
        !File.Exists("/usr/bin/nix") ? "nix is not installed (apt-get install nix-bin)"
        : System.Environment.UserName != "root" ? "building into /nix/store needs root"
        : null;

    public static void RequireNix() => Assert.SkipWhen(Unusable is not null, Unusable ?? "");

    public async Task<string> BuildAsync(string file, string attribute) =>
        (await NixAsync("nix-build", Lab(file), "-A", attribute, "--no-out-link")).ShouldSucceed().Output;

    /// <summary>Builds one path from a folder of this machine.</summary>
    public async Task<string> CopyOfAsync(string folder, string name) => (await NixAsync(
        "nix-build", "--no-out-link", "-E",
        $$"""derivation { name = "{{name}}"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "cp -r {{folder}} $out" ]; PATH = "/usr/bin:/bin"; }"""))
        .ShouldSucceed().Output.Trim();

    public Task<Ran> NixAsync(string program, params string[] arguments) => NixAsync(program, arguments, null);

    public Task<Ran> NixAsync(string program, string[] arguments, string? netrc)
    {
        // nix remembers what a cache had and had not for hours: every command starts knowing nothing.
        var cacheHome = folder.Folder($"cache/{Guid.NewGuid():N}");
        string[] options = netrc is null ? [] : ["--option", "netrc-file", netrc];
        return Run.ProgramAsync("/usr/bin/" + program, [.. arguments, .. options], new Dictionary<string, string?>(Environment)
        {
            ["XDG_CACHE_HOME"] = cacheHome,
        });
    }

    /// <summary>For programs that call nix themselves.</summary>
    public IReadOnlyDictionary<string, string?> Environment => new Dictionary<string, string?>
    {
        ["NIX_CONF_DIR"] = folder.Folder("conf"),
        ["NIX_REMOTE"] = "local",
        ["NIX_STATE_DIR"] = folder.Folder("var/nix"),
        ["NIX_LOG_DIR"] = folder.Folder("var/log/nix"),
        ["NIX_LOCALSTATE_DIR"] = folder.Folder("var"),
        ["HOME"] = folder.Folder("home"),
        ["XDG_CACHE_HOME"] = folder.Folder("cache"),
        ["NIX_PATH"] = null,
    };

    /// <summary>An empty store to fetch into.</summary>
    public string EmptyStore() => "local?root=" + folder.Folder($"store{Interlocked.Increment(ref stores)}");

    /// <summary>A netrc with one key for the loopback host.</summary>
    public string Netrc(string key)
    {
        var file = folder.File($"netrc{Guid.NewGuid():N}");
        File.WriteAllText(file, $"machine 127.0.0.1 login slipway password {key}\n");
        return file;
    }

    public ValueTask DisposeAsync()
    {
        folder.Dispose();
        return ValueTask.CompletedTask;
    }

    private static string Lab(string file) => Path.Combine(AppContext.BaseDirectory, "Lab", file);
}
