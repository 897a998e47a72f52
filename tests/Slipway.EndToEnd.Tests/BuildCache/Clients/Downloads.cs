using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>
/// Client programs that the distribution of this machine doesn't have: from npm, or unpacked from another Debian suite. They
/// are kept in the temporary folder, outside of the checkout, and found there by the next run.
/// </summary>
internal static class Downloads
{
    /// <summary>A source of Debian packages; <c>sid</c> and <c>trixie</c> are read beside whatever this machine runs, which is not touched.</summary>
    private const string Mirror = "http://deb.debian.org/debian";

    private const string Keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

    private static readonly SemaphoreSlim OneAtATime = new(1);

    private static readonly string Root = Path.Combine(Path.GetTempPath(), "slipway-test-clients");

    /// <summary>The <c>node_modules</c> with that one package, like <c>turbo@2.11.11</c>; skips the test when npm can't get it.</summary>
    public static Task<string> NpmAsync(string package) => OnceAsync("npm-" + package.Replace('/', '-'), async folder =>
    {
        if (!File.Exists("/usr/bin/npm"))
        {
            return "npm is not installed";
        }

        var install = await Run.ProgramAsync(
            "npm", ["install", package, "--prefix", folder, "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1", "--fetch-timeout=60000"]);
        return install.ExitCode == 0 ? null : install.Errors.Trim().Split('\n')[^1];
    }, "node_modules");

    /// <summary>A folder with the files of Debian packages of another suite; skips the test when apt can't get them.</summary>
    public static Task<string> DebianAsync(string suite, params string[] packages) => OnceAsync($"debian-{suite}-{packages[0]}", async folder =>
    {
        if (!File.Exists("/usr/bin/apt-get") || !File.Exists(Keyring))
        {
            return "this is no Debian";
        }

        // apt with a state of its own: it knows only that suite, and this machine's package lists stay as they are.
        var apt = Path.Combine(folder, "apt");
        foreach (var below in (string[])["state/lists/partial", "cache/archives/partial", "etc/preferences.d", "packages"])
        {
            Directory.CreateDirectory(Path.Combine(apt, below));
        }

        await File.WriteAllTextAsync(Path.Combine(apt, "sources.list"), $"deb [signed-by={Keyring}] {Mirror} {suite} main\n");
        await File.WriteAllTextAsync(Path.Combine(apt, "status"), "");
        string[] options =
        [
            "-q", "-o", $"Dir::Etc={apt}/etc", "-o", $"Dir::Etc::sourcelist={apt}/sources.list", "-o", "Dir::Etc::sourceparts=-", "-o", $"Dir::State={apt}/state",
            "-o", $"Dir::State::status={apt}/status", "-o", $"Dir::Cache={apt}/cache", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=1",
            "-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "-o", "APT::Sandbox::User=root",
        ];
        var update = await Run.ProgramAsync("apt-get", [.. options, "update"]);
        var download = await Run.ProgramAsync("apt-get", [.. options, "download", .. packages], folder: Path.Combine(apt, "packages"));
        if (download.ExitCode != 0)
        {
            return (update.Errors + download.Errors).Trim().Split('\n')[^1];
        }

        var files = Path.Combine(folder, "files");
        foreach (var package in Directory.GetFiles(Path.Combine(apt, "packages"), "*.deb"))
        {
            (await Run.ProgramAsync("dpkg-deb", ["-x", package, files])).ShouldSucceed();
        }

        Directory.Delete(apt, recursive: true);
        return null;
    }, "files");

    /// <summary>What <paramref name="get"/> left in its folder, from an earlier run if there was one.</summary>
    /// <param name="get">Fills the folder it is given; returns why it couldn't.</param>
    private static async Task<string> OnceAsync(string name, Func<string, Task<string?>> get, string result)
    {
        var place = Path.Combine(Root, name);
        await OneAtATime.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            if (!Directory.Exists(place))
            {
                // Under another name until it is whole: a run that was stopped leaves no half client for the next one.
                var unfinished = Directory.CreateDirectory(Path.Combine(Root, $".{name}.{Guid.NewGuid():N}")).FullName;
                try
                {
                    if (await get(unfinished) is { } fault)
                    {
                        Assert.Skip($"{name} could not be had: {fault}");
                    }

                    Directory.Move(unfinished, place);
                }
                finally
                {
                    if (Directory.Exists(unfinished))
                    {
                        Directory.Delete(unfinished, recursive: true);
                    }
                }
            }

            return Path.Combine(place, result);
        }
        finally
        {
            OneAtATime.Release();
        }
    }

    /// <summary>The path of a program of the distribution; skips the test when it isn't installed.</summary>
    public static string Installed(string program, string package)
    {
        var path = "/usr/bin/" + program;
        Assert.SkipUnless(File.Exists(path), $"{program} is not installed (apt-get install {package})");
        return path;
    }
}
