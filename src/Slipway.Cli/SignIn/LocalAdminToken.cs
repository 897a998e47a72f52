using Slipway.Cli.Contexts;
using Slipway.Cli.Shell;

namespace Slipway.Cli.SignIn;

/// <summary>
/// The session token that <c>slipway up</c> leaves for its admin: whoever may read the server's data folder may sign in. The places
/// are those the server chooses its folder from.
/// </summary>
internal static class LocalAdminToken
{
    private const string FileName = "admin-token";

    /// <summary>All tokens that lie about, best place first: an older server may have left one elsewhere.</summary>
    public static IReadOnlyList<(string Path, string Token)> Find(CliEnvironment environment)
    {
        var found = new List<(string, string)>();
        var unreadable = new List<string>();
        var places = Places(environment);
        foreach (var place in places)
        {
            var path = Path.Combine(place, FileName);
            try
            {
                found.Add((path, Connection.ReadTokenFile(path)));
            }
            catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
            {
            }
            catch (Exception exception) when (exception is UnauthorizedAccessException or IOException)
            {
                unreadable.Add(path);
            }
        }

        if (found.Count > 0)
        {
            return found;
        }

        throw unreadable.Count > 0
            ? new CliFailure(ExitCodes.NotAllowed, "admin_token_unreadable", $"you may not read {string.Join(" or ", unreadable)}")
            {
                Cause = "only the user who started the server may sign in this way",
                Try = ["the same command as that user", "slipway login --user NAME"],
            }
            : new CliFailure(ExitCodes.NotFound, "admin_token_missing", "no server on this machine has left its admin token where it belongs")
            {
                Cause = $"there is no {FileName} in {string.Join(", ", places)}",
                Try =
                [
                    "./slipway up   (starts a server here)",
                    "slipway login --token-stdin < DATA-FOLDER/admin-token   (for a server started with --data)",
                ],
            };
    }

    private static IReadOnlyList<string> Places(CliEnvironment environment)
    {
        string?[] places =
        [
            environment.Variable("SLIPWAY__DATA__FOLDER"),
            environment.Variable("XDG_DATA_HOME") is { } data && Path.IsPathFullyQualified(data) ? Path.Combine(data, "slipway") : null,
            Path.Combine(environment.Home, ".local", "share", "slipway"),
            environment.ServiceDataFolder,
        ];
        return [.. places.OfType<string>().Distinct(StringComparer.Ordinal)];
    }
}
