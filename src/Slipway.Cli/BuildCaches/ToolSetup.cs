using Slipway.Api;

namespace Slipway.Cli.BuildCaches;

/// <summary>What goes into one file, or is typed, to make a tool use a build cache.</summary>
/// <param name="Place">The file, or "environment".</param>
/// <param name="HoldsKey">Not for a file that is shared.</param>
internal sealed record SetupPart(string Place, IReadOnlyList<string> Lines, bool HoldsKey = false);

/// <summary>How one build tool is told of a build cache: the exact lines.</summary>
internal sealed record ToolSetup(string Tool, string What, IReadOnlyList<SetupPart> Parts)
{
    public static IReadOnlyList<string> Tools { get; } = ["bazel", "bazel-http", "pants", "buck2", "ccache", "sccache", "turbo", "nx", "gradle", "go"];

    /// <param name="key">The key to write, or a word that stands for it.</param>
    /// <param name="mayWrite">
    /// Whether the key fills the cache. Tools are told when it does not: Gradle drops the cache for the rest of a build whose upload was refused.
    /// </param>
    public static IReadOnlyList<ToolSetup> For(BuildCache cache, string key, bool mayWrite)
    {
        var grpc = cache.GrpcUrl ?? "grpc://HOST:7475";
        var tls = grpc.StartsWith("grpcs:", StringComparison.Ordinal);
        var http = cache.HttpUrl;
        var instance = cache.InstanceName;
        var writes = mayWrite ? "true" : "false";
        // Buck2 refuses grpcs:, and takes TLS from a key of its own.
        var buck2 = grpc.Replace("grpcs:", "grpc:", StringComparison.Ordinal);
        return
        [
            new("bazel", "Bazel over gRPC", [
                new(".bazelrc", [$"build --remote_cache={grpc}", $"build --remote_instance_name={instance}", $"build --remote_upload_local_results={writes}"]),
                new("~/.bazelrc", [$"build --remote_header=\"authorization=Bearer {key}\""], HoldsKey: true)]),
            new("bazel-http", "Bazel over HTTP, where gRPC can't pass", [
                new(".bazelrc", [$"build --remote_cache={http}", $"build --remote_upload_local_results={writes}"]),
                new("~/.bazelrc", [$"build --remote_header=\"authorization=Bearer {key}\""], HoldsKey: true)]),
            new("pants", "Pants", [
                new("pants.toml", ["[GLOBAL]", "remote_cache_read = true", $"remote_cache_write = {writes}", $"remote_store_address = \"{grpc}\"", $"remote_instance_name = \"{instance}\""]),
                new("environment", [$"export PANTS_REMOTE_OAUTH_BEARER_TOKEN={key}"], HoldsKey: true)]),
            new("buck2", "Buck2", [
                new(".buckconfig", [
                    "[buck2]", "digest_algorithms = SHA256", "[buck2_re_client]", $"engine_address = {buck2}", $"action_cache_address = {buck2}", $"cas_address = {buck2}",
                    $"instance_name = {instance}", $"tls = {(tls ? "true" : "false")}", "http_headers = authorization: Bearer $SLIPWAY_BUILD_KEY"]),
                new("the CommandExecutorConfig of your execution platform, without which Buck2 asks no cache", [
                    "remote_cache_enabled = True,", $"allow_cache_uploads = {(mayWrite ? "True" : "False")},"]),
                new("environment", [$"export SLIPWAY_BUILD_KEY={key}"], HoldsKey: true)]),
            new("ccache", "ccache 4.7 and later", [
                new("ccache.conf (ccache --show-config says where)", [$"remote_storage = {WithUser(http, key)}/ccache{(mayWrite ? "" : "|read-only")}"], HoldsKey: true)]),
            new("sccache", "sccache", [
                new("environment", [
                    $"export SCCACHE_WEBDAV_ENDPOINT={http}/sccache", $"export SCCACHE_WEBDAV_TOKEN={key}",
                    // Before 0.16 it finds out by a write of its own.
                    .. mayWrite ? Array.Empty<string>() : ["export SCCACHE_WEBDAV_RW_MODE=READ_ONLY"]], HoldsKey: true)]),
            new("turbo", "Turborepo", [
                new("environment", [$"export TURBO_API={http}/turbo", $"export TURBO_TEAM={cache.Org}", $"export TURBO_TOKEN={key}",
                    .. mayWrite ? Array.Empty<string>() : ["export TURBO_CACHE=local:rw,remote:r"]], HoldsKey: true)]),
            new("nx", "Nx", [
                new("environment", [$"export NX_SELF_HOSTED_REMOTE_CACHE_SERVER={http}/nx", $"export NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN={key}"], HoldsKey: true)]),
            new("gradle", "Gradle", [
                new("settings.gradle.kts", [
                    "buildCache {", "    remote<HttpBuildCache> {", $"        url = uri(\"{http}/gradle/\")", $"        isPush = {writes}",
                    .. http.StartsWith("http:", StringComparison.Ordinal) ? ["        isAllowInsecureProtocol = true"] : Array.Empty<string>(),
                    "        credentials {", "            username = \"slipway\"", "            password = System.getenv(\"SLIPWAY_BUILD_KEY\")", "        }", "    }", "}"]),
                new("gradle.properties", ["org.gradle.caching=true"]),
                new("environment", [$"export SLIPWAY_BUILD_KEY={key}"], HoldsKey: true)]),
            new("go", "Go 1.24 and later", [
                new("environment", [$"export GOCACHEPROG=\"slipway gocacheprog {instance}\"", $"export SLIPWAY_TOKEN={key}"], HoldsKey: true)]),
        ];
    }

    // ccache takes a credential only in the URL; the server looks at the password alone.
    private static string WithUser(string http, string key) => http.Replace("://", $"://slipway:{key}@", StringComparison.Ordinal);
}
