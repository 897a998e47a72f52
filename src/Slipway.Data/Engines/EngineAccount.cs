using System.Diagnostics;
using System.Globalization;
using Slipway.Native;

namespace Slipway.Data;

/// <summary>
/// The account the engines run under. PostgreSQL refuses to run as root, and neither engine needs root: as root they get the account of the
/// Debian package, otherwise they stay the user who started the server.
/// </summary>
/// <param name="Drops">True when the server is root and the engines are not.</param>
internal sealed record EngineAccount(string Name, uint UserId, uint GroupId, bool Drops)
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>In order of preference: the package's own account, and the one every Linux has.</summary>
    private static readonly string[] Candidates = ["postgres", "nobody"];

    public static EngineAccount Current { get; } = Posix.EffectiveUserId == 0
        ? Unprivileged()
        : new EngineAccount(Environment.UserName, Posix.EffectiveUserId, Posix.EffectiveGroupId, Drops: false);

    /// <summary>The words to put before a command so that it runs under this account: empty when it already would.</summary>
    public IReadOnlyList<string> CommandPrefix => Drops
        ? ["setpriv", Id("--reuid=", UserId), Id("--regid=", GroupId), "--clear-groups", "--"]
        : [];

    /// <summary>
    /// The account for an existing data folder: root goes on with the owner it finds, so that data made by an ordinary user, or before
    /// the postgres account existed, stays readable.
    /// </summary>
    public static EngineAccount For(string engineFolder)
    {
        if (!Current.Drops || !Directory.Exists(engineFolder))
        {
            return Current;
        }

        var (user, group) = Posix.OwnerOf(engineFolder);
        return user == 0 || user == Current.UserId ? Current : new EngineAccount(Id("#", user), user, group, Drops: true);
    }

    /// <summary>Makes <paramref name="folder"/> if needed and gives it to this account, closed to everybody else.</summary>
    public void MakePrivateFolder(string folder)
    {
        Directory.CreateDirectory(folder, Private);
        if (Drops)
        {
            Posix.ChangeOwner(folder, UserId, GroupId);
        }
        else if (Posix.OwnerOf(folder).Uid != UserId)
        {
            throw new EngineException($"the folder '{folder}' belongs to another user; start slipway as that user or as root, or choose another --data folder");
        }

        File.SetUnixFileMode(folder, Private);
    }

    /// <summary>The first folder on the way to <paramref name="folder"/> that this account cannot pass, or null.</summary>
    public string? ObstacleOnTheWayTo(string folder)
    {
        if (!Drops)
        {
            return null;
        }

        var onTheWay = new Stack<string>();
        for (var step = folder; step is not null; step = Path.GetDirectoryName(step))
        {
            if (Directory.Exists(step))
            {
                onTheWay.Push(step);
            }
        }

        // The mode bits settle almost every case in microseconds; where they say no, an access list may still say yes.
        return onTheWay.FirstOrDefault(step => !ModeLetsPass(step) && !ReallyPasses(step));
    }

    private static string Id(string option, uint value) => string.Create(CultureInfo.InvariantCulture, $"{option}{value}");

    private static EngineAccount Unprivileged() =>
        Candidates
            .Select(name => Posix.FindUser(name) is var (user, group) ? new EngineAccount(name, user, group, Drops: true) : null)
            .FirstOrDefault(account => account is not null)
        ?? throw new EngineException("PostgreSQL does not run as root, and this machine has neither the account 'postgres' nor 'nobody'. Install postgresql, or start slipway as an ordinary user.");

    private bool ModeLetsPass(string folder)
    {
        var (user, group) = Posix.OwnerOf(folder);
        var needed = user == UserId ? UnixFileMode.UserExecute : group == GroupId ? UnixFileMode.GroupExecute : UnixFileMode.OtherExecute;
        return File.GetUnixFileMode(folder).HasFlag(needed);
    }

    private bool ReallyPasses(string folder)
    {
        using var test = Process.Start("setpriv", [.. CommandPrefix.Skip(1), "test", "-x", folder]);
        test.WaitForExit();
        return test.ExitCode == 0;
    }
}
