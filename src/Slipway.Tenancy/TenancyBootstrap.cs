using System.Text;
using Dapper;

namespace Slipway.Tenancy;

/// <summary>
/// The first superuser: <c>admin</c>, without a password, and a session token for it in <c>admin-token</c> of the data folder. Whoever can
/// read that file owns the machine anyway.
/// </summary>
public sealed class TenancyBootstrap
{
    public const string AdminName = "admin";
    public const string TokenFile = "admin-token";

    /// <summary>Any fixed number, the same in every server: two that start together must not both issue a token.</summary>
    private const long LockKey = 0x61_64_6D_69_6E;

    private readonly Changes changes;
    private readonly Authenticator authenticator;
    private readonly TenancyOptions options;

    internal TenancyBootstrap(Changes changes, Authenticator authenticator, TenancyOptions options)
    {
        this.changes = changes;
        this.authenticator = authenticator;
        this.options = options;
    }

    /// <summary>
    /// At the first start makes the superuser; then, and whenever the token in the file is missing, expired or revoked, issues a fresh one.
    /// A disabled admin stays disabled and gets none. Returns the path of the file.
    /// </summary>
    public async Task<string> EnsureAdminAsync(string dataFolder, CancellationToken cancellationToken)
    {
        var path = Path.Combine(dataFolder, TokenFile);
        if (File.Exists(path))
        {
            var text = await File.ReadAllTextAsync(path, cancellationToken);
            if (await authenticator.AuthenticateAsync(text.AsSpan().Trim(), cancellationToken) is { IsAnonymous: false, IsSuperuser: true })
            {
                // It may have been copied about with looser rights.
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                return path;
            }
        }

        await changes.CommitAsync(ChangeOrigin.System, async (change, token) =>
        {
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "select pg_advisory_xact_lock(@LockKey)", new { LockKey }, change.Transaction, cancellationToken: token));
            var admin = await change.Connection.FindUserAsync(AdminName, change.Transaction, forUpdate: true, token)
                ?? await change.AddUserAsync(AdminName, passwordHash: null, superuser: true, token);
            if (admin is not { Status: "active", Superuser: true })
            {
                return 0;
            }

            var (text, _) = await change.AddSessionAsync(admin, "slipway up", options.SessionLifetime, token);
            // Before the commit: a crash in between leaves a token that does not work, and the next start makes another. The other way
            // round would leave a live session that nobody holds.
            DurableFile.Write(path, Encoding.ASCII.GetBytes(text + "\n"));
            return 0;
        }, cancellationToken);
        return path;
    }
}
