using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>Users, which superusers manage; who one is; one's password.</summary>
internal static class UserEndpoints
{
    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Users, ListAsync).RequireSuperuser().Produces<Page<User>>();
        endpoints.MapPost(Routes.Users, CreateAsync).RequireSuperuser().Takes(typeof(CreateUserRequest)).Produces<User>(201);
        endpoints.MapGet(Routes.User, ShowAsync).RequireSuperuser().Produces<User>();
        endpoints.MapPatch(Routes.User, UpdateAsync).RequireSuperuser().Takes(typeof(UpdateUserRequest)).Produces<User>();
        endpoints.MapGet(Routes.WhoAmI, WhoAmI).RequireSignIn().Produces<WhoAmI>();
        endpoints.MapPut(Routes.Password, ChangePasswordAsync).RequireSession().Takes(typeof(ChangePasswordRequest)).Produces(204);
    }

    private static async Task<IResult> ListAsync(HttpContext http, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<UserRow>(new CommandDefinition(
            $"select {UserRow.Columns} from user_account where @After::text is null or name > @After order by name limit @limit",
            new { page.After, limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.Name);
        return TypedResults.Json(new Page<User>([.. cut.Items.Select(row => row.ToUser())], cut.NextPageToken), ApiJson.Default.PageUser);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, Changes changes, PasswordHasher hasher, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateUserRequest, cancellationToken);
        faults.Require(Names.IsValid(request.Name), "/name", Names.Rule);
        if (PasswordRules.FaultOf(request.Password, request.Name) is { } fault)
        {
            faults.Add("/password", fault);
        }

        faults.ThrowIfAny();
        string hash;
        using (await hasher.EnterAsync(cancellationToken))
        {
            hash = hasher.Hash(request.Password);
        }

        var user = await changes.CommitAsync(http, ApiJson.Default.User, async (change, token) =>
        {
            var row = await change.AddUserAsync(request.Name, hash, request.Superuser, token)
                ?? throw ApiException.Conflict($"There is a user {request.Name} already.");
            return row.ToUser();
        }, cancellationToken);
        Slipway.Data.EntityId.TryRead("user", user.Id, out var id);
        return Answers.Created(http, user, ApiJson.Default.User, $"{Routes.Users}/{user.Name}", ETags.Of(id, 1));
    }

    /// <summary>Adds a user and its event; null when the name is taken.</summary>
    public static async Task<UserRow?> AddUserAsync(this Change change, string name, string? passwordHash, bool superuser, CancellationToken cancellationToken)
    {
        var row = await change.Connection.QuerySingleOrDefaultAsync<UserRow>(new CommandDefinition(
            $"""
            insert into user_account (id, name, password_hash, superuser, created_at) values (@id, @name, @passwordHash, @superuser, @Now)
            on conflict (name) do nothing returning {UserRow.Columns}
            """,
            new { id = Guid.CreateVersion7(change.Now), name, passwordHash, superuser, change.Now },
            change.Transaction,
            cancellationToken: cancellationToken));
        if (row is not null)
        {
            change.Record(null, "user.created", row.ToTarget(), new JsonObject { ["superuser"] = superuser });
        }

        return row;
    }

    private static async Task<IResult> ShowAsync(HttpContext http, string user, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var row = await connection.FindUserAsync(user, null, forUpdate: false, cancellationToken) ?? throw ApiException.NotFound("user " + user);
        return Answers.One(http, row.ToUser(), ApiJson.Default.User, row.ETag);
    }

    private static async Task<IResult> UpdateAsync(HttpContext http, string user, Changes changes, Authenticator authenticator, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.UpdateUserRequest, cancellationToken);
        faults.Require(request.Status is null or "active" or "disabled", "/status", "must be active or disabled");
        faults.ThrowIfAny();
        var updated = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            // Superusers are locked in one order first, so that the last two can't demote each other at the same moment.
            var superusers = (await change.Connection.QueryAsync<Guid>(new CommandDefinition(
                "select id from user_account where superuser and status = 'active' order by id for update",
                transaction: change.Transaction,
                cancellationToken: token))).AsList();
            var row = await change.Connection.FindUserAsync(user, change.Transaction, forUpdate: true, token) ?? throw ApiException.NotFound("user " + user);
            ETags.Require(http, row.ETag);
            var status = request.Status ?? row.Status;
            var superuser = request.Superuser ?? row.Superuser;
            if (status == row.Status && superuser == row.Superuser)
            {
                return row;
            }

            if (superusers is [var last] && last == row.Id && (status != "active" || !superuser))
            {
                throw ApiException.Conflict($"{row.Name} is the last active superuser.", "Make somebody else a superuser first.");
            }

            var after = await change.Connection.QuerySingleAsync<UserRow>(new CommandDefinition(
                $"update user_account set status = @status, superuser = @superuser, version = version + 1 where id = @Id returning {UserRow.Columns}",
                new { status, superuser, row.Id },
                change.Transaction,
                cancellationToken: token));
            if (status != row.Status)
            {
                change.Record(null, status == "active" ? "user.enabled" : "user.disabled", after.ToTarget());
            }

            if (superuser != row.Superuser)
            {
                change.Record(null, superuser ? "user.promoted" : "user.demoted", after.ToTarget());
            }

            if (status == "disabled")
            {
                // Keys stop with the account and come back with it; sessions are over for good.
                await change.EndSessionsAsync(after, null, token);
            }

            change.AfterCommit(authenticator.Forget);
            return after;
        }, cancellationToken);
        return Answers.One(http, updated.ToUser(), ApiJson.Default.User, updated.ETag);
    }

    private static IResult WhoAmI(HttpContext http)
    {
        var caller = http.GetCaller();
        return Answers.One(
            http,
            new WhoAmI(
                caller.PrincipalType!,
                Ids.Actor(caller.PrincipalType!, caller.PrincipalId),
                caller.Name,
                caller.IsSuperuser,
                caller.IsSession ? "session" : "key",
                caller.CredentialId!,
                caller.ExpiresAt,
                [.. caller.Orgs.OrderBy(org => org.Slug, StringComparer.Ordinal).Select(org => new OrgMembership(org.Slug, Roles.Name(org.Role)))],
                caller.Scopes?.Select(scope => scope.ToString()).ToArray()),
            ApiJson.Default.WhoAmI,
            null);
    }

    private static async Task<IResult> ChangePasswordAsync(
        HttpContext http,
        NpgsqlDataSource database,
        Changes changes,
        PasswordHasher hasher,
        SignInThrottle throttle,
        Authenticator authenticator,
        CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.ChangePasswordRequest, cancellationToken);
        faults.Require(request.CurrentPassword.Length <= 2 * PasswordRules.Longest, "/currentPassword", $"must have at most {PasswordRules.Longest} characters");
        if (PasswordRules.FaultOf(request.NewPassword, caller.Name) is { } fault)
        {
            faults.Add("/newPassword", fault);
        }

        faults.ThrowIfAny();
        // A stolen session must not become an account: the old password is asked for, and guesses count.
        var (user, _) = await SessionEndpoints.CheckPasswordAsync(http, caller.Name, request.CurrentPassword, database, hasher, throttle, cancellationToken);
        if (user is null)
        {
            throw new ApiException(403, ProblemCodes.Forbidden, "The current password is wrong.");
        }

        string hash;
        using (await hasher.EnterAsync(cancellationToken))
        {
            hash = hasher.Hash(request.NewPassword);
        }

        await changes.CommitAsync(caller.Origin(http), async (change, token) =>
        {
            await change.Connection.ExecuteAsync(new CommandDefinition(
                "update user_account set password_hash = @hash, version = version + 1 where id = @Id", new { hash, user.Id }, change.Transaction, cancellationToken: token));
            change.Record(null, "user.password_changed", user.ToTarget());
            await change.EndSessionsAsync(user, caller.CredentialGuid, token);
            change.AfterCommit(authenticator.Forget);
            return 0;
        }, cancellationToken);
        return TypedResults.NoContent();
    }
}
