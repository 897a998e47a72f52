using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using Slipway.Native;

namespace Slipway.Data;

/// <summary>
/// Where the engines keep their things in the server's data folder.
/// <code>
/// engines/   the server's own, the engines may read: generated settings, logs, one lock file per engine, the lock of the whole
/// postgres/  the engines' account only: data/
/// redis/     the engines' account only: append-only files
/// run/       the engines' account only: sockets, redis.pid
/// </code>
/// Nothing that root writes lies in a folder the unprivileged account could rearrange.
/// </summary>
/// <remarks>
/// Why no passwords: whoever gets through the 0700 of <c>run/</c> is root or the account that owns the data files and could read those,
/// so a password would guard nothing more, and one more secret could leak.
/// </remarks>
internal sealed class EngineFolders
{
    /// <summary>sockaddr_un.sun_path holds 108 bytes with its final zero (unix(7)).</summary>
    private const int LongestSocketPath = 107;

    private const string PostgresSocketName = ".s.PGSQL.5432";

    /// <summary>Needs no quoting in a connection string, a URL or either engine's settings.</summary>
    private static readonly SearchValues<char> PlainPathCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@");

    public EngineFolders(string dataFolder)
    {
        Data = RealPath(Path.TrimEndingDirectorySeparator(Path.GetFullPath(dataFolder)), links: 0);
        Account = EngineAccount.For(Path.Combine(Data, "postgres"));
        Sockets = SocketFolder();
    }

    public string Data { get; }

    public EngineAccount Account { get; }

    public string Sockets { get; }

    public string Engines => Path.Combine(Data, "engines");

    public string Postgres => Path.Combine(Data, "postgres");

    public string Redis => Path.Combine(Data, "redis");

    public string Run => Path.Combine(Data, "run");

    public string LockOf(string engine) => Path.Combine(Engines, engine + ".lock");

    public string LogOf(string engine) => Path.Combine(Engines, engine + ".log");

    /// <summary>What is wrong with this place for the engines, with the cure, or null.</summary>
    public string? Problem() => Account.ObstacleOnTheWayTo(Data) is { } obstacle
        ? $"the folder '{obstacle}' is closed to the user '{Account.Name}', under which PostgreSQL and Redis run when slipway is started by root. Choose another data folder, such as --data /var/lib/slipway, or run: chmod o+x '{obstacle}'"
        : null;

    public void Make()
    {
        try
        {
            // Passable, not listable: the engines' account must get through to its own folders.
            const UnixFileMode Passable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
            Directory.CreateDirectory(Data, Passable);
            if (Problem() is { } problem)
            {
                throw new EngineException(problem);
            }

            Directory.CreateDirectory(Engines, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute);
            if (Account.Drops)
            {
                Posix.ChangeOwner(Engines, 0, Account.GroupId);
            }

            foreach (var folder in (string[])[Postgres, Redis, Run, Sockets])
            {
                Account.MakePrivateFolder(folder);
            }
        }
        catch (UnauthorizedAccessException e)
        {
            throw new EngineException($"cannot write to the data folder '{Data}' as user '{Environment.UserName}': {e.Message} Choose another with --data DIR, or give that one to this user.", e);
        }
    }

    /// <summary>Without symbolic links: one folder has one name, whichever way it was reached.</summary>
    private static string RealPath(string path, int links)
    {
        if (Path.GetDirectoryName(path) is not { } parent)
        {
            return path;
        }

        var step = Path.Combine(RealPath(parent, links), Path.GetFileName(path));
        // 40 is the kernel's own limit (path_resolution(7)).
        return new DirectoryInfo(step).LinkTarget is { } target
            ? links < 40 ? RealPath(Path.GetFullPath(target, Path.GetDirectoryName(step)!), links + 1) : throw new EngineException($"too many symbolic links on the way to '{path}'")
            : step;
    }

    private string SocketFolder()
    {
        var fits = Encoding.UTF8.GetByteCount(Path.Combine(Run, PostgresSocketName)) <= LongestSocketPath;
        if (fits && !Data.AsSpan().ContainsAnyExcept(PlainPathCharacters))
        {
            return Run;
        }

        // Preferred where no other user can put something of the same name first; in /tmp the owner is checked before use.
        var parent = Posix.EffectiveUserId == 0 ? "/run" : Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR");
        if (string.IsNullOrEmpty(parent) || !Directory.Exists(parent))
        {
            parent = "/tmp";
        }

        return Path.Combine(parent, "slipway-" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Data)))[..16]);
    }
}
