using System.Globalization;

namespace Slipway.Data;

/// <summary>
/// The account the engines run under. PostgreSQL refuses to run as root, and neither engine needs root: as root they get the account of the
/// Debian package, otherwise they stay the user who started the server.
/// </summary>
/// <param name="Drops">True when the server is root and the engines are not.</param>
internal sealed record EngineAccount(string Name, uint UserId, uint GroupId, bool Drops)
{
    private static readonly string[] Candidates = ["postgres", "nobody"];

    public static EngineAccount Current { get; } = Environment.IsPrivilegedProcess ? Unprivileged() : new EngineAccount(Environment.UserName, 0, 0, Drops: false);

    /// <summary>The words to put before a command so that it runs under this account: empty when it already would.</summary>
    public IReadOnlyList<string> CommandPrefix => Drops
        ? ["setpriv", Id("--reuid=", UserId), Id("--regid=", GroupId), "--clear-groups", "--"]
        : [];

    /// <summary>Makes <paramref name="folder"/> if needed and gives it to this account, closed to everybody else.</summary>
    public void MakePrivateFolder(string folder)
    {
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        GiveFile(folder);
    }

    public void GiveFile(string path)
    {
        if (Drops)
        {
            LibC.ChangeOwner(path, UserId, GroupId);
        }
    }

    private static string Id(string option, uint value) => string.Create(CultureInfo.InvariantCulture, $"{option}{value}");

    private static EngineAccount Unprivileged()
    {
        // System accounts of Debian packages are always in this file, whatever else the machine uses for people.
        var accounts = File.ReadAllLines("/etc/passwd").Select(line => line.Split(':')).Where(fields => fields.Length >= 4).ToList();
        foreach (var name in Candidates)
        {
            if (accounts.Find(fields => fields[0] == name) is { } found)
            {
                return new EngineAccount(
                    name, uint.Parse(found[2], CultureInfo.InvariantCulture), uint.Parse(found[3], CultureInfo.InvariantCulture), Drops: true);
            }
        }

        throw new EngineException("PostgreSQL does not run as root, and this machine has neither the account 'postgres' nor 'nobody'. Install postgresql or start slipway as an ordinary user.");
    }
}
