using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.Jobs;

/// <summary>Builds <c>clients/typescript</c> and runs its own tests on a real server.</summary>
public sealed class TypeScriptClientTests(JobsLab lab) : IClassFixture<JobsLab>
{
    [Fact]
    public async Task The_package_builds_and_its_tests_pass_on_a_real_server()
    {
        if (!NodeProgram.IsThere)
        {
            Assert.Skip("node is not installed");
        }

        using var folder = new TempFolder();
        // A copy: a test leaves nothing in the checkout.
        foreach (var file in Directory.EnumerateFiles(Repo.File("clients/typescript"), "*", SearchOption.AllDirectories))
        {
            var relative = Path.GetRelativePath(Repo.File("clients/typescript"), file);
            if (!relative.StartsWith("node_modules", StringComparison.Ordinal) && !relative.StartsWith("dist", StringComparison.Ordinal))
            {
                Directory.CreateDirectory(Path.GetDirectoryName(folder.File(relative))!);
                File.Copy(file, folder.File(relative));
            }
        }

        var install = await Run.ProgramAsync("npm", ["install", "--prefix", folder.Path, "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=30000"]);
        if (install.ExitCode != 0)
        {
            Assert.Skip($"npm could not install the compiler: {install.Errors.Trim().Split('\n')[^1]}");
        }

        (await Run.ProgramAsync("npm", ["run", "build", "--prefix", folder.Path])).ShouldSucceed();
        var tested = await Run.ProgramAsync("npm", ["test", "--prefix", folder.Path], lab.Environment);
        tested.ShouldSucceed();
        tested.Output.ShouldMatch(@"(?m)^# pass 1[1-9]$");
        tested.Output.ShouldMatch(@"(?m)^# skipped 0$");
    }
}
