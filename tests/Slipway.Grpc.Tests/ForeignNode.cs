using System.Diagnostics;
using Slipway.Testing;

namespace Slipway.Grpc.Tests;

/// <summary>gRPC's own implementation for Node, got from npm once and kept in the temporary folder.</summary>
internal static class ForeignNode
{
    private static readonly string[] Packages = ["@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1"];

    private static readonly SemaphoreSlim OneAtATime = new(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Starts one of the programs of <c>Foreign</c>; skips the test where there is no Node or npm can't get the packages.</summary>
    public static async Task<Process> StartAsync(string program, params string[] arguments)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/node") && File.Exists("/usr/bin/npm"), "node and npm are not installed");
        var start = new ProcessStartInfo("/usr/bin/node", [Repo.File($"tests/Slipway.Grpc.Tests/Foreign/{program}"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.Environment["NODE_MODULES"] = await ModulesAsync();
        return Process.Start(start)!;
    }

    private static async Task<string> ModulesAsync()
    {
        var place = Path.Combine(Path.GetTempPath(), "slipway-test-clients", "npm-grpc-js-1.14.7");
        await OneAtATime.WaitAsync(Token);
        try
        {
            if (!Directory.Exists(place))
            {
                // Under another name until it is whole.
                var unfinished = Directory.CreateDirectory($"{place}.{Guid.NewGuid():N}").FullName;
                using var install = Process.Start(new ProcessStartInfo(
                    "/usr/bin/npm", ["install", .. Packages, "--prefix", unfinished, "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1", "--fetch-timeout=60000"])
                {
                    RedirectStandardOutput = true,
                    RedirectStandardError = true,
                })!;
                var errors = install.StandardError.ReadToEndAsync(Token);
                await install.StandardOutput.ReadToEndAsync(Token);
                await install.WaitForExitAsync(Token);
                if (install.ExitCode != 0)
                {
                    Directory.Delete(unfinished, recursive: true);
                    Assert.Skip($"npm could not get grpc-js: {(await errors).Trim().Split('\n')[^1]}");
                }

                Directory.Move(unfinished, place);
            }

            return Path.Combine(place, "node_modules");
        }
        finally
        {
            OneAtATime.Release();
        }
    }
}
