using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary>A NAR larger than the memory the server may use.</summary>
public sealed class LargeNarTests(Acme acme, NixLab nix) : IClassFixture<Acme>, IClassFixture<NixLab>
{
    private const long MemoryLimit = 300L << 20;

    [Fact]
    public async Task Nar_of_600_MB_goes_in_and_out_in_constant_memory()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("large");
        using var folder = new TempFolder();
        var random = new Random(1);
        var block = new byte[1 << 20];
        using (var file = File.Create(folder.File("content/incompressible")))
        {
            for (var megabyte = 0; megabyte < 600; megabyte++)
            {
                random.NextBytes(block);
                file.Write(block);
            }
        }

        var path = await nix.CopyOfAsync(folder.File("content"), $"large-{Guid.NewGuid():N}");
        (await nix.NixAsync("nix", ["copy", "--to", $"{cache.Url}?compression=none", path], nix.Netrc(acme.Key))).ShouldSucceed();
        (await nix.NixAsync("nix-store", "--store", nix.EmptyStore(), "--realise", path, "--option", "substituters", cache.Url.ToString(), "--option", "trusted-public-keys", cache.PublicKey)).ShouldSucceed();

        var ours = await acme.CacheAsync("large-ours");
        (await acme.Server.CliAsync(acme.Key, ["push", ours.Name, path], nix.Environment)).ShouldSucceed();

        acme.Server.PeakMemory().ShouldBeLessThan(MemoryLimit);
        await nix.NixAsync("nix-store", "--delete", path);
    }
}
