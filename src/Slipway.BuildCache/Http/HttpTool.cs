namespace Slipway.BuildCache.Http;

/// <summary>The protocols spoken below <c>/cache/{org}/{cache}</c>, by the segment that begins each.</summary>
internal enum HttpTool : byte
{
    /// <summary><c>ac/{hash}</c>: Bazel's action results.</summary>
    BazelActions,

    /// <summary><c>cas/{hash}</c>: Bazel's blobs.</summary>
    BazelBlobs,

    /// <summary><c>ccache/…</c>, whatever its layout.</summary>
    Ccache,

    /// <summary><c>sccache/…</c>: WebDAV.</summary>
    Sccache,

    /// <summary><c>turbo/v8/artifacts/…</c></summary>
    Turborepo,

    /// <summary><c>nx/v1/cache/{hash}</c></summary>
    Nx,

    /// <summary><c>gradle/{key}</c></summary>
    Gradle,

    /// <summary><c>go/{action id}</c>: of <c>slipway gocacheprog</c>.</summary>
    Go,
}

/// <summary>What a URL below <c>/cache/</c> means: <c>{org}/{cache}[/{sub}…]/{tool}/{key}</c>.</summary>
/// <remarks>
/// The first segment after the cache that begins a protocol ends the instance name, so a sub-namespace that is reached over HTTP
/// can't have such a name.
/// </remarks>
internal readonly ref struct HttpRoute
{
    /// <summary>The longest key: Gradle's and Nx's hashes have some 64 characters, ccache's 70; file paths of WebDAV may be longer.</summary>
    public const int LongestKey = 512;

    /// <summary><c>org/cache</c> or <c>org/cache/sub/…</c>.</summary>
    public ReadOnlySpan<char> Instance { get; private init; }

    public HttpTool Tool { get; private init; }

    /// <summary>All behind the tool's segment, without the slash between them.</summary>
    public ReadOnlySpan<char> Key { get; private init; }

    /// <param name="path">Behind <c>/cache/</c>.</param>
    public static bool TryParse(ReadOnlySpan<char> path, out HttpRoute route)
    {
        route = default;
        var segment = 0;
        foreach (var range in path.Split('/'))
        {
            var (start, end) = (range.Start.Value, range.End.Value);
            if (segment++ >= 2 && ToolOf(path[start..end]) is { } tool)
            {
                var key = end < path.Length ? path[(end + 1)..] : [];
                route = new HttpRoute { Instance = path[..(start - 1)], Tool = tool, Key = key };
                return key.Length <= LongestKey;
            }
        }

        return false;
    }

    /// <summary>What statistics call the tool behind a URL: these tools don't name themselves. Null for URLs of none.</summary>
    public static string? ToolNameOf(ReadOnlySpan<char> url) =>
        !url.StartsWith(HttpCaches.Prefix, StringComparison.Ordinal) || !TryParse(url[HttpCaches.Prefix.Length..], out var route) ? null : route.Tool switch
        {
            HttpTool.BazelActions or HttpTool.BazelBlobs => "bazel-http",
            HttpTool.Ccache => "ccache",
            HttpTool.Sccache => "sccache",
            HttpTool.Turborepo => "turborepo",
            HttpTool.Nx => "nx",
            HttpTool.Gradle => "gradle",
            _ => "go",
        };

    private static HttpTool? ToolOf(ReadOnlySpan<char> segment) => segment switch
    {
        "ac" => HttpTool.BazelActions,
        "cas" => HttpTool.BazelBlobs,
        "ccache" => HttpTool.Ccache,
        "sccache" => HttpTool.Sccache,
        "turbo" => HttpTool.Turborepo,
        "nx" => HttpTool.Nx,
        "gradle" => HttpTool.Gradle,
        "go" => HttpTool.Go,
        _ => null,
    };
}
