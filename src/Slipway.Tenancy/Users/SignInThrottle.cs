using System.Net;
using Dapper;
using Npgsql;

namespace Slipway.Tenancy;

/// <summary>
/// Slows down guessing, per account name and per network: some free failures, then a wait that doubles with each. Never a lasting
/// lock-out, which would be a way to keep somebody else out. In the database, so that it holds over restarts and all servers.
/// </summary>
internal sealed class SignInThrottle(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>People mistype; five tries leave 2^-30 of an ordinary password space untouched.</summary>
    private const int FreeForAccount = 5;

    /// <summary>An office behind one address mistypes more.</summary>
    private const int FreeForNetwork = 20;

    private const int LongestWaitSeconds = 300;

    /// <summary>Failures older than this are forgotten. Longer than the longest wait, or waiting it out would start over.</summary>
    private static readonly TimeSpan Memory = TimeSpan.FromHours(1);

    /// <summary>
    /// Counts an attempt before it is checked, so that many at once can't slip through together. Throws 429 while one must wait.
    /// The answer does not depend on whether the account exists.
    /// </summary>
    public async Task CountAsync(string name, IPAddress? address, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var wait = await CountAsync(connection, Network(address), FreeForNetwork, cancellationToken);
        if (wait == TimeSpan.Zero)
        {
            wait = await CountAsync(connection, Account(name), FreeForAccount, cancellationToken);
        }

        if (wait > TimeSpan.Zero)
        {
            throw ApiException.TooMany("Too many failed sign-ins.", wait);
        }
    }

    /// <summary>The password was right: the account starts anew, and the network is not charged for this attempt.</summary>
    public async Task SucceedAsync(string name, IPAddress? address, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await connection.ExecuteAsync(new CommandDefinition(
            """
            delete from sign_in_throttle where subject = @account;
            update sign_in_throttle set failures = greatest(failures - 1, 0), blocked_until = @now where subject = @network;
            """,
            new { account = Account(name), network = Network(address), now = time.GetUtcNow() },
            cancellationToken: cancellationToken));
    }

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await connection.ExecuteAsync(new CommandDefinition(
            "delete from sign_in_throttle where last_at < @before", new { before = time.GetUtcNow() - Memory }, cancellationToken: cancellationToken));
    }

    private async Task<TimeSpan> CountAsync(NpgsqlConnection connection, string subject, int free, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var counted = await connection.ExecuteScalarAsync<int?>(new CommandDefinition(
            """
            insert into sign_in_throttle as t (subject, failures, last_at, blocked_until) values (@subject, 1, @now, @now)
            on conflict (subject) do update set
                failures = case when t.last_at < @forgotten then 1 else t.failures + 1 end,
                last_at = @now,
                blocked_until = case
                    when t.last_at < @forgotten or t.failures + 1 < @free then @now
                    else @now + make_interval(secs => least(@longest, power(2, least(t.failures + 1 - @free, 30)))) end
            where t.blocked_until <= @now
            returning failures
            """,
            new { subject, now, forgotten = now - Memory, free, longest = (double)LongestWaitSeconds },
            cancellationToken: cancellationToken));
        if (counted is not null)
        {
            return TimeSpan.Zero;
        }

        var until = await connection.ExecuteScalarAsync<DateTime?>(new CommandDefinition(
            "select blocked_until from sign_in_throttle where subject = @subject", new { subject }, cancellationToken: cancellationToken));
        return until is { } end && end > now.UtcDateTime ? end - now.UtcDateTime : TimeSpan.FromSeconds(1);
    }

    // What can't be a user name shares one count: nobody can fill the table with it.
    private static string Account(string name) => "account:" + (Names.IsValid(name) ? name : "?");

    private static string Network(IPAddress? address) => "network:" + NetworkAddress.Network(address);
}
