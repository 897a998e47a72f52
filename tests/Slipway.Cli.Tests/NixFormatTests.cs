using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Shouldly;
using Slipway.Cli.Nar;
using Slipway.Cli.Nix;
using Slipway.Testing;
using Xunit;

namespace Slipway.Cli.Tests;

public sealed class NixFormatTests
{
    private sealed class Collected : BlockSink
    {
        public MemoryStream Bytes { get; } = new();

        protected override ValueTask TakeBlockAsync(ReadOnlyMemory<byte> bytes, bool last, CancellationToken cancellationToken) => Bytes.WriteAsync(bytes, cancellationToken);
    }

    // Lengths and hashes are those of `nix-store --dump` (nix 2.8.0) on the same trees.
    [Theory]
    [InlineData(
        "mkdir -p t/d/empty; printf hello > t/a; printf '#!/bin/sh\\n' > t/run; chmod 755 t/run; : > t/zero; ln -s ../a t/d/link; printf 12345678 > t/d/eight; "
        + "printf x > \"$(printf 't/b\\377')\"; printf x > t/Ä; printf x > t/a.b; printf y > t/a0",
        2192, "dd66d897b4c4af602585fc5360053ebe42a19a286c725457e0d596134f2cac14")]
    [InlineData("yes slipway 2>/dev/null | head -c 600001 > t", 600120, "b1f4407469ebeae39171073784c4444712b35cb398b317368403487c79654ca0")]
    public async Task A_nar_is_what_nix_store_dump_writes(string script, long length, string sha256)
    {
        using var folder = new TempFolder();
        await RunAsync(script, folder.Path);

        var sink = new Collected();
        await NarWriter.WriteAsync(Path.Combine(folder.Path, "t"), sink, static _ => { }, TestContext.Current.CancellationToken);
        // .NET cannot delete the name that is not UTF-8.
        await RunAsync("rm -r t", folder.Path);
        sink.Length.ShouldBe(length);
        await sink.FinishAsync(TestContext.Current.CancellationToken);

        Convert.ToHexStringLower(SHA256.HashData(sink.Bytes.ToArray())).ShouldBe(sha256);
    }

    private static async Task RunAsync(string script, string folder)
    {
        using var shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", script]) { WorkingDirectory = folder })!;
        await shell.WaitForExitAsync(TestContext.Current.CancellationToken);
        shell.ExitCode.ShouldBe(0);
    }

    [Fact]
    public void Hashes_become_nix32()
    {
        const string Empty = "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
        var digest = SHA256.HashData([]);

        NixHash.ToNix32("sha256-" + Convert.ToBase64String(digest)).ShouldBe(Empty);
        NixHash.ToNix32("sha256:" + Convert.ToHexStringLower(digest)).ShouldBe(Empty);
        NixHash.ToNix32(Empty).ShouldBe(Empty);
    }

    [Fact]
    public void Path_infos_are_read_in_each_form_nix_writes()
    {
        const string A = "00000000000000000000000000000000-a";
        const string B = "11111111111111111111111111111111-b";
        const string Hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        var old = PathInfo.Parse(Encoding.UTF8.GetBytes($$$"""[{"path":"/nix/store/{{{B}}}","narHash":"{{{Hash}}}","narSize":8,"references":["/nix/store/{{{A}}}"],"ca":"text:x","valid":true}]"""));
        var map = PathInfo.Parse(Encoding.UTF8.GetBytes($$$"""{"/nix/store/{{{B}}}":{"narHash":"{{{Hash}}}","narSize":8,"references":["/nix/store/{{{A}}}"],"ca":"text:x","deriver":null}}"""));
        var wrapped = PathInfo.Parse(Encoding.UTF8.GetBytes($$$"""{"version":2,"info":{"{{{B}}}":{"narHash":"{{{Hash}}}","narSize":8,"references":["{{{A}}}"],"ca":null} } }"""));
        var registered = NixProgram.ParseRegistrations($"/nix/store/{B}\n{Convert.ToHexStringLower(SHA256.HashData([]))}\n8\n\n1\n/nix/store/{A}\n");

        foreach (var info in new[] { old, map, wrapped, registered }.Select(list => list.ShouldHaveSingleItem()))
        {
            info.StorePath.ShouldBe($"/nix/store/{B}");
            info.NarHash.ShouldBe("sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
            info.References.ShouldBe([$"/nix/store/{A}"]);
            info.Deriver.ShouldBeNull();
        }

        old[0].ContentAddress.ShouldBe("text:x");
    }

    [Fact]
    public void A_netrc_entry_is_replaced_in_place()
    {
        const string Before = "# c machine h\nmachine h\n\tlogin a\n\tpassword slp_old\nmachine i password \"x y\"\nmacdef m\n machine z\n\nmachine h2 login b\n";

        var netrc = Netrc.Parse(Before);

        netrc.PasswordOf("h").ShouldBe("slp_old");
        netrc.PasswordOf("i").ShouldBe("x y");
        netrc.Has("z").ShouldBeFalse();
        netrc.With("h", "slipway", "new").ShouldBe(Before.Replace("machine h\n\tlogin a\n\tpassword slp_old", "machine h login slipway password new", StringComparison.Ordinal));
        Netrc.Parse("machine a login b").With("c", "l", "p").ShouldBe("machine a login b\nmachine c login l password p\n");
    }
}
