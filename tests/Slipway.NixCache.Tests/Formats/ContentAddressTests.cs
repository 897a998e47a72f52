using Shouldly;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

/// <summary>Paths made by nix 2.8.0: nix-store --add(-fixed), builtins.toFile, make-content-addressed, a CA derivation.</summary>
public sealed class ContentAddressTests
{
    [Theory]
    [InlineData("/nix/store/hsvvwlswyiswy93diik8r5jgxm56hdpi-flat.txt", "fixed:sha256:0ifvym846sp1l0aab4qjvs0wgqddcr9d71f2j4igwkrnbrmqsa0z")]
    [InlineData("/nix/store/wqkmm8a336khkkmgg89gj5503sjdil5f-flat2.txt", "fixed:r:sha1:cqakcaififphrfrr7pmjflhs4gx5bfh6")]
    [InlineData("/nix/store/sbcgxrp1v9dkgkzxw9260hjh1r30w0iw-flat3.txt", "fixed:r:sha256:0fallv0xcj0ngzcr3y0m05h9ky57nx4qbwpsb35gcwsww1038a26")]
    [InlineData("/nix/store/6bjli7v03lkly3ixqs3qjkjkxa3g1n0a-x1", "fixed:r:sha256:1jpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089k")]
    [InlineData(
        "/nix/store/iyzvac3hk6gpp0g1nf47y5m1nyglg4yy-greeting",
        "text:sha256:1apy3klx0brasszmj7x4kqx8hgvhc2gc000niyzqqykqg4mmwq8w",
        "08g3c9zd7qsw0216x1bdlk7qrykjny7s-other")]
    [InlineData(
        "/nix/store/5lcw5mfvyirsyj2p8ng6a26ah2mpb12c-lab-ca-b",
        "fixed:r:sha256:13514lw9r22xrxdmg7kddr7vz3x9yscf8c25q95d3wkb79gr25pc",
        "5awxwj9c93qr8wnvhssbdhd3kdrl136y-lab-ca-a")]
    [InlineData(
        "/nix/store/wbq4a0bjxrbmr73f5wgj793qpls99ndc-lab-c-1.0",
        "fixed:r:sha256:120mhx6qxhfv0anrvcg9jah33asw2vdrd02f786v98mv8m4ngjbh",
        "rvg33aq8rv526vzg4df4whk589mw9pzh-lab-b-1.0",
        "wbq4a0bjxrbmr73f5wgj793qpls99ndc-lab-c-1.0")]
    public void The_store_path_follows_from_the_content(string fullPath, string text, params string[] references)
    {
        StorePath.TryParse(fullPath, out var path).ShouldBeTrue();
        ContentAddress.TryParse(text, out var address).ShouldBeTrue();
        var paths = references.Select(Path).ToList();

        address.ComputeStorePath(path.Name, paths.Where(reference => reference != path), paths.Contains(path)).ShouldBe(path);

        address.ToString().ShouldBe(text);
        address.ComputeStorePath($"{path.Name}x", [], hasSelfReference: false)!.Hash.ShouldNotBe(path.Hash);
    }

    [Theory]
    [InlineData("text:sha256:1apy3klx0brasszmj7x4kqx8hgvhc2gc000niyzqqykqg4mmwq8w", false, true)]
    [InlineData("fixed:sha256:0ifvym846sp1l0aab4qjvs0wgqddcr9d71f2j4igwkrnbrmqsa0z", false, true)]
    [InlineData("fixed:sha256:0ifvym846sp1l0aab4qjvs0wgqddcr9d71f2j4igwkrnbrmqsa0z", true, false)]
    [InlineData("fixed:r:sha1:cqakcaififphrfrr7pmjflhs4gx5bfh6", true, false)]
    public void Paths_that_nix_never_makes_have_no_store_path(string text, bool reference, bool self)
    {
        ContentAddress.TryParse(text, out var address).ShouldBeTrue();

        address.ComputeStorePath("name", reference ? [Path("5awxwj9c93qr8wnvhssbdhd3kdrl136y-lab-ca-a")] : [], self).ShouldBeNull();
    }

    [Theory]
    [InlineData("")]
    [InlineData("fixed:")]
    [InlineData("text:")]
    [InlineData("fixed:sha256:")]
    [InlineData("fixed:git:sha1:cqakcaififphrfrr7pmjflhs4gx5bfh6")]
    [InlineData("text:sha1:cqakcaififphrfrr7pmjflhs4gx5bfh6")]
    [InlineData("fixed:sha1:cqakcaififphrfrr7pmjflhs4gx5bfh")]
    [InlineData("fixed:blake3:0ifvym846sp1l0aab4qjvs0wgqddcr9d71f2j4igwkrnbrmqsa0z")]
    [InlineData("fixed:r:r:sha1:cqakcaififphrfrr7pmjflhs4gx5bfh6")]
    [InlineData("sha256:0ifvym846sp1l0aab4qjvs0wgqddcr9d71f2j4igwkrnbrmqsa0z")]
    public void Refuses_other_content_addresses(string text) => ContentAddress.TryParse(text, out _).ShouldBeFalse();

    private static StorePath Path(string baseName) => StorePath.TryParseBaseName(baseName, out var path) ? path : throw new ArgumentException(baseName);
}
