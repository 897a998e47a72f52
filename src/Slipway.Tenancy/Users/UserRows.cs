using Dapper;
using Npgsql;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.Tenancy;

internal sealed class UserRow
{
    public const string Columns = "id, name, password_hash, status, superuser, created_at, version";

    public Guid Id { get; init; }

    public string Name { get; init; } = "";

    public string? PasswordHash { get; init; }

    public string Status { get; init; } = "";

    public bool Superuser { get; init; }

    public DateTimeOffset CreatedAt { get; init; }

    public long Version { get; init; }

    public string ETag => ETags.Of(Id, Version);

    public User ToUser() => new(Ids.User(Id), Name, Status, Superuser, CreatedAt);

    public EventTarget ToTarget() => new("user", Ids.User(Id), Name);
}

internal static class UserRows
{
    /// <summary>By name or by shown id; names have no underscore, so the two can't be taken for each other.</summary>
    public static Task<UserRow?> FindUserAsync(
        this NpgsqlConnection connection, string nameOrId, NpgsqlTransaction? transaction, bool forUpdate, CancellationToken cancellationToken)
    {
        var byId = EntityId.TryRead("user", nameOrId, out var id);
        return !byId && !Names.IsValid(nameOrId)
            ? Task.FromResult<UserRow?>(null)
            : connection.QuerySingleOrDefaultAsync<UserRow>(new CommandDefinition(
                $"select {UserRow.Columns} from user_account where {(byId ? "id = @id" : "name = @nameOrId")} {(forUpdate ? "for update" : "")}",
                new { id, nameOrId },
                transaction,
                cancellationToken: cancellationToken));
    }
}
