using Shouldly;
using Slipway.Api;
using Slipway.Cli.BuildCaches;
using Xunit;

namespace Slipway.Cli.Tests;

/// <summary>The lines of <c>slipway buildcache use</c>, where the tools' own documents and sources say what they must be.</summary>
public sealed class ToolSetupTests
{
    [Theory]
    [InlineData("grpcs://cache.example:7475", "tls = true")]
    [InlineData("grpc://cache.example:7475", "tls = false")]
    public void Buck2_is_given_the_one_scheme_it_takes_and_tls_apart(string url, string tls)
    {
        var lines = LinesOf("buck2", mayWrite: true, url);
        lines.ShouldContain("cas_address = grpc://cache.example:7475");
        lines.ShouldContain(tls);
        lines.ShouldContain("remote_cache_enabled = True,");
    }

    [Fact]
    public void Tools_with_a_key_that_only_reads_are_told_not_to_write()
    {
        LinesOf("bazel", mayWrite: false).ShouldContain("build --remote_upload_local_results=false");
        LinesOf("bazel-http", mayWrite: false).ShouldContain("build --remote_upload_local_results=false");
        LinesOf("pants", mayWrite: false).ShouldContain("remote_cache_write = false");
        LinesOf("buck2", mayWrite: false).ShouldContain("allow_cache_uploads = False,");
        LinesOf("ccache", mayWrite: false).ShouldContain("remote_storage = http://slipway:KEY@cache.example/cache/acme/main/ccache|read-only");
        LinesOf("sccache", mayWrite: false).ShouldContain("export SCCACHE_WEBDAV_RW_MODE=READ_ONLY");
        LinesOf("turbo", mayWrite: false).ShouldContain("export TURBO_CACHE=local:rw,remote:r");
        LinesOf("gradle", mayWrite: false).ShouldContain("        isPush = false");
    }

    [Fact]
    public void Tools_with_a_key_that_writes_fill_the_cache()
    {
        LinesOf("pants", mayWrite: true).ShouldContain("remote_cache_write = true");
        LinesOf("gradle", mayWrite: true).ShouldContain("        isPush = true");
        LinesOf("ccache", mayWrite: true).ShouldContain("remote_storage = http://slipway:KEY@cache.example/cache/acme/main/ccache");
        string.Join('\n', ToolSetup.Tools.SelectMany(tool => LinesOf(tool, mayWrite: true))).ShouldNotContain("READ_ONLY");
    }

    private static string[] LinesOf(string tool, bool mayWrite, string grpc = "grpc://cache.example:7475")
    {
        var cache = new BuildCache(
            "bcache_1", "acme", "main", "acme/main", grpc, "http://cache.example/cache/acme/main", null, null, 1 << 30, true, false, [], "beta", 0, 0, DateTimeOffset.UnixEpoch);
        return [.. ToolSetup.For(cache, "KEY", mayWrite).Single(setup => setup.Tool == tool).Parts.SelectMany(part => part.Lines)];
    }
}
