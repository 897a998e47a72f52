using Slipway.Data;
using Slipway.Native;
using Slipway.Server.Configuration;

namespace Slipway.Server.Hosting;

/// <summary>Where the server keeps everything of its own.</summary>
/// <param name="Note">Why it is not where one would expect; null when it is.</param>
/// <param name="IsUsual">Whether it is where <c>slipway login --local</c> looks by itself.</param>
internal sealed record DataFolder(string Path, string? Note, bool IsUsual = true)
{
    private const string ForRoot = "/var/lib/slipway";

    public string AdminToken => System.IO.Path.Combine(Path, "admin-token");

    /// <summary>
    /// The configured folder, or the one of this user. Root's own home is closed to the unprivileged user the engines run as, so root
    /// gets the folder of a system service there.
    /// </summary>
    public static DataFolder Choose(ServerConfiguration configuration, IReadOnlyDictionary<string, string> environment)
    {
        if (configuration.Data.Folder is { } configured)
        {
            return new DataFolder(configured, null, IsUsual: false);
        }

        var home = environment.GetValueOrDefault("XDG_DATA_HOME") is { Length: > 0 } dataHome && System.IO.Path.IsPathFullyQualified(dataHome)
            ? dataHome
            : System.IO.Path.Combine(environment.GetValueOrDefault("HOME") is { Length: > 0 } user ? user : "/", ".local", "share");
        var usual = System.IO.Path.Combine(home, "slipway");
        var hostsEngines = configuration.Database.Url is null || configuration.Redis.Url is null;
        return Posix.EffectiveUserId == 0 && hostsEngines && !EmbeddedEngines.CanHost(usual, out _)
            ? new DataFolder(ForRoot, $"{usual} is closed to the user PostgreSQL and Redis run as")
            : new DataFolder(usual, null);
    }
}
