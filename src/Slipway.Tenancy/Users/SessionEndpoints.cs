using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.Tenancy;

/// <summary>Signing in and out, and the list of one's sessions.</summary>
internal static class SessionEndpoints
{
    /// <summary>A client names itself in its User-Agent; more than this is noise in a list.</summary>
    private const int LongestClient = 200;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.Sessions, SignInAsync).AllowAnonymousAccess().Takes(typeof(SignInRequest)).Produces<SignedIn>(201);
        endpoints.MapGet(Routes.Sessions, ListAsync).RequireSession().Produces<Page<Session>>();
        endpoints.MapGet(Routes.CurrentSession, (HttpContext http, NpgsqlDataSource database, CancellationToken cancellationToken) =>
            ShowAsync(http, http.GetCaller().CredentialId!, database, cancellationToken)).RequireSession().Produces<Session>();
        endpoints.MapGet(Routes.Session, ShowAsync).RequireSession().Produces<Session>();
        endpoints.MapDelete(Routes.CurrentSession, (HttpContext http, Changes changes, Authenticator authenticator, CancellationToken cancellationToken) =>
            EndAsync(http, http.GetCaller().CredentialId!, changes, authenticator, cancellationToken)).RequireSession().Produces(204);
        endpoints.MapDelete(Routes.Session, EndAsync).RequireSession().Produces(204);
    }

    private static async Task<IResult> SignInAsync(
        HttpContext http,
        NpgsqlDataSource database,
        Changes changes,
        PasswordHasher hasher,
        SignInThrottle throttle,
        TenancyOptions options,
        CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.SignInRequest, cancellationToken);
        faults.Require(request.Name.Length is > 0 and <= 100, "/name", "must have 1 to 100 characters");
        faults.Require(request.Password.Length is > 0 and <= 2 * PasswordRules.Longest, "/password", $"must have 1 to {PasswordRules.Longest} characters");
        faults.ThrowIfAny();

        var (user, rehashed) = await CheckPasswordAsync(http, request.Name, request.Password, database, hasher, throttle, cancellationToken);
        if (user is not { Status: "active" })
        {
            await RecordRefusalAsync(http, request.Name, changes, cancellationToken);
            throw new ApiException(401, ProblemCodes.CredentialInvalid, "The name or the password is wrong.");
        }

        var client = Client(http);
        var origin = new ChangeOrigin("user", user.Id, user.Name, "password", null, http.TraceIdentifier, NetworkAddress.Of(http));
        var signedIn = await changes.CommitAsync(http, origin, ApiJson.Default.SignedIn, async (change, token) =>
        {
            // Again under a lock: between the check and here the account may have been disabled or given another password.
            var locked = await change.Connection.FindUserAsync(user.Name, change.Transaction, forUpdate: true, token);
            if (locked is not { Status: "active" } || locked.PasswordHash != user.PasswordHash)
            {
                throw new ApiException(401, ProblemCodes.CredentialInvalid, "The name or the password is wrong.");
            }

            if (rehashed is not null)
            {
                await change.Connection.ExecuteAsync(new CommandDefinition(
                    "update user_account set password_hash = @rehashed where id = @Id", new { rehashed, user.Id }, change.Transaction, cancellationToken: token));
            }

            var (text, row) = await change.AddSessionAsync(user, client, options.SessionLifetime, token);
            return new SignedIn(text, row.ToSession(row.Id), user.ToUser());
        }, cancellationToken);
        return Answers.Created(http, signedIn, ApiJson.Default.SignedIn, $"{Routes.Sessions}/{signedIn.Session.Id}", null);
    }

    /// <summary>
    /// The user whose password this is, or null; and a new hash when the old one is of yesterday's strength. Counts against the throttle,
    /// and takes as long for users that do not exist.
    /// </summary>
    public static async Task<(UserRow? User, string? Rehashed)> CheckPasswordAsync(
        HttpContext http,
        string name,
        string password,
        NpgsqlDataSource database,
        PasswordHasher hasher,
        SignInThrottle throttle,
        CancellationToken cancellationToken)
    {
        var address = http.Connection.RemoteIpAddress;
        await throttle.CountAsync(name, address, cancellationToken);
        UserRow? user = null;
        if (Names.IsValid(name))
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            user = await connection.FindUserAsync(name, null, forUpdate: false, cancellationToken);
        }

        string? rehashed = null;
        using (await hasher.EnterAsync(cancellationToken))
        {
            if (!hasher.Verify(password, user?.PasswordHash))
            {
                return (null, null);
            }

            if (hasher.IsOutdated(user!.PasswordHash!))
            {
                rehashed = hasher.Hash(password);
            }
        }

        await throttle.SucceedAsync(name, address, cancellationToken);
        return (user, rehashed);
    }

    private static async Task RecordRefusalAsync(HttpContext http, string name, Changes changes, CancellationToken cancellationToken) =>
        await changes.CommitAsync(http.GetCaller().Origin(http), (change, _) =>
        {
            // What is no possible user name may be a password typed into the wrong field: it stays out of the log.
            var shown = Names.IsValid(name) ? name : "";
            change.Record(null, "session.refused", new EventTarget("user", "", shown), new JsonObject { ["reason"] = "wrong name or password" });
            return Task.FromResult(0);
        }, cancellationToken);

    private static async Task<IResult> ListAsync(HttpContext http, NpgsqlDataSource database, TimeProvider time, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        var caller = http.GetCaller();
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<SessionRow>(new CommandDefinition(
            $"""
            select {SessionRow.Columns} from session
            where user_id = @user and revoked_at is null and expires_at > @now and (@after::uuid is null or id < @after)
            order by id desc limit @limit
            """,
            new { user = caller.PrincipalId, now = time.GetUtcNow(), after = page.AfterId(), limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.Id.ToString());
        return TypedResults.Json(new Page<Session>([.. cut.Items.Select(row => row.ToSession(caller.CredentialGuid))], cut.NextPageToken), ApiJson.Default.PageSession);
    }

    private static async Task<IResult> ShowAsync(HttpContext http, string session, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await FindAsync(http, connection, null, session, cancellationToken);
        return Answers.One(http, row.ToSession(http.GetCaller().CredentialGuid), ApiJson.Default.Session, null);
    }

    private static async Task<IResult> EndAsync(HttpContext http, string session, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            var row = await FindAsync(http, change.Connection, change.Transaction, session, token);
            if (row.RevokedAt is null)
            {
                await change.Connection.ExecuteAsync(new CommandDefinition(
                    "update session set revoked_at = @Now where id = @Id", new { change.Now, row.Id }, change.Transaction, cancellationToken: token));
                change.Record(null, "session.revoked", row.ToTarget(caller.Name));
                change.AfterCommit(authenticator.Forget);
            }

            return 0;
        }, cancellationToken);
        return TypedResults.NoContent();
    }

    private static async Task<SessionRow> FindAsync(
        HttpContext http, NpgsqlConnection connection, NpgsqlTransaction? transaction, string session, CancellationToken cancellationToken)
    {
        var row = EntityId.TryRead("ses", session, out var id)
            ? await connection.QuerySingleOrDefaultAsync<SessionRow>(new CommandDefinition(
                $"select {SessionRow.Columns} from session where id = @id and user_id = @user {(transaction is null ? "" : "for update")}",
                new { id, user = http.GetCaller().PrincipalId },
                transaction,
                cancellationToken: cancellationToken))
            : null;
        return row ?? throw ApiException.NotFound("session " + session);
    }

    private static string? Client(HttpContext http)
    {
        var agent = new string([.. http.Request.Headers.UserAgent.ToString().Where(character => !char.IsControl(character)).Take(LongestClient)]);
        return agent.Length == 0 ? null : agent;
    }
}
