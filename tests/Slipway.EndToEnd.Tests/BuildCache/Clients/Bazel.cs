using System.Globalization;
using System.Text.RegularExpressions;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>A real Bazel of one version.</summary>
internal sealed record Bazel(string Version, string Program, string[] Options)
{
    /// <summary>Debian's 4.2.3. Its system rc file turns on the sandbox's debug output: off again.</summary>
    public static Bazel Debian() => new("4.2.3", Downloads.Installed("bazel", "bazel-bootstrap"), ["--nosandbox_debug"]);

    /// <summary>2.1.0, the last one that npm has.</summary>
    public static async Task<Bazel> OfNpmAsync() =>
        new("2.1.0", Path.Combine(await Downloads.NpmAsync("@bazel/bazel-linux_x64@2.1.0"), "@bazel", "bazel-linux_x64", "bazel-2.1.0-linux-x86_64"), []);

    public static Task<Bazel> OfVersionAsync(string version) => version == "2.1.0" ? OfNpmAsync() : Task.FromResult(Debian());
}

/// <summary>
/// A workspace with its own Bazel server, which is shut down with it. Builds without any network of its own: what Bazel would
/// load from the internet (rules_cc, rules_java, the coverage tool) are stubs beside the workspace that hand on the native rules.
/// </summary>
internal sealed partial class BazelWorkspace : IAsyncDisposable
{
    private static readonly string[] CcRules = ["cc_binary", "cc_library", "cc_test", "cc_import", "cc_proto_library", "cc_toolchain", "cc_toolchain_suite", "objc_library"];

    private static readonly string[] JavaRules =
    [
        "java_binary", "java_import", "java_library", "java_lite_proto_library", "java_proto_library", "java_test", "java_package_configuration",
        "java_plugin", "java_runtime", "java_toolchain",
    ];

    private readonly TempFolder folder = new();
    private readonly Bazel bazel;

    public BazelWorkspace(Bazel bazel)
    {
        this.bazel = bazel;
        Write("stubs/remote_coverage_tools/WORKSPACE", "workspace(name = \"remote_coverage_tools\")\n");
        Write("stubs/remote_coverage_tools/BUILD", "package(default_visibility = [\"//visibility:public\"])\nfilegroup(name = \"coverage_report_generator\", srcs = [\"crg.sh\"])\n");
        Write("stubs/remote_coverage_tools/crg.sh", "#!/bin/sh\n", executable: true);
        Stub("rules_cc", "cc", CcRules);
        Stub("rules_java", "java", JavaRules);
        Write("workspace/WORKSPACE", "workspace(name = \"lab\")\n");
    }

    /// <summary>A library and a program of C++, a generated file, and a test that reads it: 8 actions that can be cached.</summary>
    public static BazelWorkspace WithProgramAndTest(Bazel bazel, string salt = "")
    {
        var workspace = new BazelWorkspace(bazel);
        workspace.Write("workspace/BUILD", """
            cc_library(name = "greet", srcs = ["greet.cc"], hdrs = ["greet.h"])
            cc_binary(name = "hello", srcs = ["hello.cc"], deps = [":greet"])
            genrule(name = "shout", srcs = ["words.txt"], outs = ["shout.txt"], cmd = "tr a-z A-Z <$< >$@")
            sh_test(name = "shout_test", size = "small", srcs = ["shout_test.sh"], data = [":shout"])

            """);
        workspace.Write("workspace/greet.h", "const char* greet();\n");
        workspace.Write("workspace/greet.cc", $"#include \"greet.h\"\nconst char* greet() {{ return \"hello {salt}\"; }}\n");
        workspace.Write("workspace/hello.cc", "#include <cstdio>\n#include \"greet.h\"\nint main() { puts(greet()); }\n");
        workspace.Write("workspace/words.txt", $"some words {salt}\n");
        workspace.Write("workspace/shout_test.sh", "#!/bin/sh\ngrep WORDS shout.txt\n", executable: true);
        return workspace;
    }

    public string Path => folder.Folder("workspace");

    public void Write(string path, string text, bool executable = false)
    {
        var file = folder.File(path);
        File.WriteAllText(file, text);
        if (executable)
        {
            File.SetUnixFileMode(file, (UnixFileMode)Convert.ToInt32("755", 8));
        }
    }

    /// <summary>Runs <c>bazel build|test …</c> with the remote options given.</summary>
    public async Task<BazelRun> RunAsync(string command, string[] targets, params string[] options)
    {
        string[] stubs = [.. ((string[])["remote_coverage_tools", "rules_cc", "rules_java"]).Select(name => $"--override_repository={name}={folder.Path}/stubs/{name}")];
        // No convenience links: Bazel 2.1 would take them for packages of the workspace. One job per processor: two.
        return new BazelRun(await BazelAsync([command, .. stubs, .. bazel.Options, "--symlink_prefix=/", "--color=no", "--curses=no", "--show_progress_rate_limit=60", .. options, "--", .. targets]));
    }

    /// <summary>Forgets all that was built here; the next build starts from the remote cache or from nothing.</summary>
    public async Task CleanAsync() => (await BazelAsync(["clean"])).ShouldSucceed();

    /// <summary>The file that a build made, under <c>bazel-bin</c>; it need not be there.</summary>
    public async Task<string> OutputAsync(string name) =>
        System.IO.Path.Combine((await BazelAsync(["info", "bazel-bin", .. bazel.Options])).ShouldSucceed().Output.Trim(), name);

    public async ValueTask DisposeAsync()
    {
        await BazelAsync(["shutdown"]);
        // What Bazel's sandbox made is not writable, and the run would leave it behind.
        await Run.ProgramAsync("chmod", ["-R", "u+w", folder.Path]);
        folder.Dispose();
    }

    /// <summary>A file that a build under way has made, found without asking the busy Bazel server.</summary>
    public string Built(string name) => System.IO.Path.Combine(folder.Folder("base"), "execroot/lab/bazel-out/k8-fastbuild/bin", name);

    private Task<Ran> BazelAsync(string[] arguments) => Run.ProgramAsync(
        bazel.Program,
        // A server whose test was killed goes by itself; the installation is shared by all workspaces of one version.
        [$"--output_user_root={InstallRoot}", $"--output_base={folder.Folder("base")}", "--max_idle_secs=60", "--nohome_rc", "--host_jvm_args=-Xmx512m", .. arguments],
        new Dictionary<string, string?>
        {
            // Part of the key of some actions, so it has to be the same in every run.
            ["PATH"] = "/usr/local/bin:/usr/bin:/bin",
            ["HOME"] = folder.Folder("home"),
            ["CC"] = null,
        },
        folder: Path);

    private string InstallRoot => Directory.CreateDirectory(System.IO.Path.Combine(System.IO.Path.GetTempPath(), "slipway-test-clients", "bazel-root-" + bazel.Version)).FullName;

    private void Stub(string repository, string package, string[] rules)
    {
        Write($"stubs/{repository}/WORKSPACE", $"workspace(name = \"{repository}\")\n");
        Write($"stubs/{repository}/BUILD", "");
        Write($"stubs/{repository}/{package}/BUILD", "");
        Write($"stubs/{repository}/{package}/defs.bzl", string.Concat(rules.Select(rule => $"{rule} = native.{rule}\n")));
    }
}

/// <summary>How a build went, by what Bazel prints at its end.</summary>
internal sealed partial record BazelRun(Ran Ran)
{
    /// <summary>Actions whose result came from the cache: <c>INFO: 16 processes: 8 remote cache hit, 8 internal.</c></summary>
    public int Hits => Count("remote cache hit");

    /// <summary>Actions that were run here, in whatever sandbox.</summary>
    public int Executed => Count("linux-sandbox") + Count("processwrapper-sandbox") + Count("local") + Count("worker");

    public BazelRun ShouldSucceed()
    {
        Ran.ShouldSucceed();
        return this;
    }

    public BazelRun ShouldFail()
    {
        Ran.ShouldFail();
        return this;
    }

    public string Text => Ran.Output + Ran.Errors;

    private int Count(string kind)
    {
        var processes = Processes().Match(Text);
        processes.Success.ShouldBeTrue(Ran.ToString());
        var counted = Regex.Match(processes.Groups[1].Value, $@"\b(\d+) {kind}\b");
        return counted.Success ? int.Parse(counted.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
    }

    [GeneratedRegex(@"INFO: \d+ process(?:es)?([:.].*)")]
    private static partial Regex Processes();
}
