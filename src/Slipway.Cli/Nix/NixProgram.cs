using System.Diagnostics;
using System.Globalization;
using System.Text;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Nix;

/// <summary>The installed nix, asked through its commands.</summary>
/// <param name="storeRoot">Root of a <c>local?root=</c> store, or null for the machine's own.</param>
internal sealed class NixProgram(CliEnvironment environment, string? storeRoot)
{
    private static readonly string[] NewCommands = ["--extra-experimental-features", "nix-command"];

    private readonly string? nix = environment.FindProgram("nix");
    private readonly string? nixStore = environment.FindProgram("nix-store");

    public bool IsInstalled => nix is not null || nixStore is not null;

    /// <summary>Where the bytes of a store path lie.</summary>
    public string FileOf(string storePath) => storeRoot is null ? storePath : storeRoot.TrimEnd('/') + storePath;

    /// <summary>
    /// The store path a user means: itself, something inside it, or a symlink to it such as <c>./result</c>.
    /// </summary>
    public string Resolve(string typed)
    {
        if (StorePathName.IsStorePath(typed))
        {
            return typed;
        }

        var full = Path.GetFullPath(typed);
        for (var links = 0; links < 40; links++) // as many as the kernel follows
        {
            if (Top(full) is { } store)
            {
                return store;
            }

            if (new FileInfo(full).LinkTarget is not { } target)
            {
                break;
            }

            full = Path.GetFullPath(target, Path.GetDirectoryName(full)!);
        }

        throw new CliFailure(ExitCodes.Usage, "not_a_store_path", $"\"{typed}\" is not in the nix store")
        {
            Cause = File.Exists(full) || Directory.Exists(full) ? $"it leads to {full}" : "there is no such file",
            Try = [$"nix-store --add {typed}   (puts it there and prints its path)"],
        };
    }

    /// <summary>The paths and everything they refer to, directly or not.</summary>
    public async Task<List<PathInfo>> ClosureAsync(IReadOnlyList<string> paths, CancellationToken cancellationToken)
    {
        if (!IsInstalled)
        {
            throw new CliFailure(ExitCodes.Failed, "nix_missing", "there is no nix in PATH") { Try = ["apt-get install nix-bin", "https://nixos.org/download"] };
        }

        if (nix is not null)
        {
            var (exit, output, error) = await RunAsync(nix, [.. NewCommands, "path-info", "--json", "-r", .. StoreArguments, .. paths], cancellationToken);
            if (exit == 0)
            {
                return PathInfo.Parse(output);
            }

            // A nix without this command, or with its JSON switched off, is asked the old way; an invalid path fails there the same.
            if (nixStore is null || error.Contains("is not valid", StringComparison.Ordinal))
            {
                throw Failure("nix path-info", error);
            }
        }

        return await ClosureByNixStoreAsync(paths, cancellationToken);
    }

    private async Task<List<PathInfo>> ClosureByNixStoreAsync(IReadOnlyList<string> paths, CancellationToken cancellationToken)
    {
        var (exit, output, error) = await RunAsync(nixStore!, [.. StoreArguments, "--query", "--requisites", .. paths], cancellationToken);
        if (exit != 0)
        {
            throw Failure("nix-store --query", error);
        }

        var closure = Encoding.UTF8.GetString(output).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        (exit, output, error) = await RunAsync(nixStore!, [.. StoreArguments, "--dump-db", .. closure], cancellationToken);
        return exit == 0 ? ParseRegistrations(Encoding.UTF8.GetString(output)) : throw Failure("nix-store --dump-db", error);
    }

    /// <summary>Path, hex hash, size, deriver (may be empty), number of references, references: a line each.</summary>
    public static List<PathInfo> ParseRegistrations(string text)
    {
        var infos = new List<PathInfo>();
        var lines = text.Split('\n');
        for (var i = 0; i + 4 < lines.Length && lines[i].Length > 0;)
        {
            var references = int.Parse(lines[i + 4], CultureInfo.InvariantCulture);
            infos.Add(new PathInfo(
                lines[i],
                NixHash.ToNix32("sha256:" + lines[i + 1]),
                long.Parse(lines[i + 2], CultureInfo.InvariantCulture),
                lines[(i + 5)..(i + 5 + references)],
                lines[i + 3].Length > 0 ? lines[i + 3] : null,
                ContentAddress: null,
                Signatures: []));
            i += 5 + references;
        }

        return infos;
    }

    /// <summary><c>nix --version</c>, or null.</summary>
    public async Task<string?> VersionAsync(CancellationToken cancellationToken)
    {
        if ((nix ?? nixStore) is not { } program)
        {
            return null;
        }

        var (exit, output, _) = await RunAsync(program, ["--version"], cancellationToken);
        return exit == 0 ? Encoding.UTF8.GetString(output).Trim() : null;
    }

    /// <summary>The settings nix works with, all files and defaults merged; null when it will not say.</summary>
    public async Task<NixConf?> SettingsAsync(CancellationToken cancellationToken)
    {
        if (nix is null)
        {
            return null;
        }

        var (exit, output, _) = await RunAsync(nix, [.. NewCommands, "show-config"], cancellationToken);
        if (exit != 0)
        {
            (exit, output, _) = await RunAsync(nix, [.. NewCommands, "config", "show"], cancellationToken);
        }

        return exit == 0 ? NixConf.Parse(Encoding.UTF8.GetString(output)) : null;
    }

    private string[] StoreArguments => storeRoot is null ? [] : ["--store", $"local?root={storeRoot}"];

    private static string? Top(string path)
    {
        if (!path.StartsWith(StorePathName.StoreFolder, StringComparison.Ordinal))
        {
            return null;
        }

        var end = path.IndexOf('/', StorePathName.StoreFolder.Length);
        var top = end < 0 ? path : path[..end];
        return StorePathName.IsStorePath(top) ? top : null;
    }

    private static CliFailure Failure(string command, string error) =>
        new(ExitCodes.Failed, "nix_failed", $"{command} failed") { Cause = error.Trim() is { Length: > 0 } words ? words : null };

    private static async Task<(int Exit, byte[] Output, string Error)> RunAsync(string program, IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        using var output = new MemoryStream();
        var error = process.StandardError.ReadToEndAsync(cancellationToken);
        try
        {
            await process.StandardOutput.BaseStream.CopyToAsync(output, cancellationToken);
            await process.WaitForExitAsync(cancellationToken);
            return (process.ExitCode, output.ToArray(), await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }
}
