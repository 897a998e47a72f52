using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dapper;
using Microsoft.AspNetCore.Http;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>Answers kept under the <c>Idempotency-Key</c> of a POST, per principal, route and key.</summary>
internal sealed class IdempotencyRecords(SecretBox secrets)
{
    /// <summary>How long an answer is kept (AP-5).</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromHours(24);

    /// <summary>A UUID has 36 characters; 255 is what others allow.</summary>
    private const int LongestKey = 255;

    private const string Purpose = "idempotency-response";

    private static readonly ConditionalWeakTable<JsonSerializerOptions, JsonSerializerOptions> LenientOptions = [];

    /// <summary>Null when the request carries no key, or is no POST.</summary>
    public IdempotencyKey? KeyOf(HttpContext http)
    {
        var header = http.Request.Headers["Idempotency-Key"];
        if (header.Count == 0 || !HttpMethods.IsPost(http.Request.Method))
        {
            return null;
        }

        if (header.Count > 1 || header[0] is not { Length: > 0 and <= LongestKey } key || key.Any(character => character is < '!' or > '~'))
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, $"Idempotency-Key must be 1 to {LongestKey} visible ASCII characters, such as a UUID.");
        }

        var caller = http.GetCaller();
        var principal = caller.IsAnonymous ? "anonymous" : Ids.Actor(caller.PrincipalType!, caller.PrincipalId);
        return new IdempotencyKey(principal, "POST " + http.Request.Path, key, HMACSHA256.HashData(secrets.DeriveKey("idempotency-body"), http.BodyBytes().Span));
    }

    /// <summary>
    /// The answer kept, or null: then this transaction holds the key until it ends. Throws 409 while another one holds it and 422 when it was
    /// used for another body.
    /// </summary>
    public async Task<Kept<T>?> FindAsync<T>(Change change, IdempotencyKey key, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        // A lock and not the row itself: a second request is told to come back instead of waiting for the first.
        var held = await change.Connection.ExecuteScalarAsync<bool>(new CommandDefinition(
            "select pg_try_advisory_xact_lock(@number)", new { number = key.LockNumber() }, change.Transaction, cancellationToken: cancellationToken));
        if (!held)
        {
            throw new ApiException(409, ProblemCodes.IdempotencyInProgress, "A request with this Idempotency-Key is still running.", "Repeat it after Retry-After; you will get its answer.")
            {
                RetryAfter = TimeSpan.FromSeconds(1),
            };
        }

        var row = await change.Connection.QuerySingleOrDefaultAsync<Row>(new CommandDefinition(
            """
            select body_hash, response from idempotency_record
            where principal = @Principal and route = @Route and key = @Key and created_at > @since
            """,
            new { key.Principal, key.Route, key.Key, since = change.Now - Lifetime },
            change.Transaction,
            cancellationToken: cancellationToken));
        if (row is null)
        {
            return null;
        }

        if (!CryptographicOperations.FixedTimeEquals(row.BodyHash, key.BodyHash))
        {
            throw new ApiException(422, ProblemCodes.IdempotencyKeyReused, "This Idempotency-Key was used for another body.", "Use a fresh key for each new request.");
        }

        var response = JsonSerializer.Deserialize<T>(secrets.Open(Purpose, row.Response, key.Place()), Lenient(type.Options));
        return new Kept<T>(response!);
    }

    public async Task KeepAsync<T>(Change change, IdempotencyKey key, JsonTypeInfo<T> type, T response, CancellationToken cancellationToken)
    {
        var bytes = JsonSerializer.SerializeToUtf8Bytes(response, type);
        await change.Connection.ExecuteAsync(new CommandDefinition(
            """
            insert into idempotency_record (principal, route, key, body_hash, response, created_at)
            values (@Principal, @Route, @Key, @BodyHash, @response, @now)
            on conflict (principal, route, key) do update set body_hash = excluded.body_hash, response = excluded.response, created_at = excluded.created_at
            """,
            new { key.Principal, key.Route, key.Key, key.BodyHash, response = secrets.Seal(Purpose, bytes, key.Place()), now = change.Now },
            change.Transaction,
            cancellationToken: cancellationToken));
    }

    // Nulls are left out of answers, so reading one back must not insist on nullable fields.
    private static JsonSerializerOptions Lenient(JsonSerializerOptions strict) =>
        LenientOptions.GetValue(strict, static options => new JsonSerializerOptions(options) { RespectRequiredConstructorParameters = false });

    internal sealed record Kept<T>(T Response);

    private sealed class Row
    {
        public byte[] BodyHash { get; init; } = [];

        public byte[] Response { get; init; } = [];
    }
}

internal sealed record IdempotencyKey(string Principal, string Route, string Key, byte[] BodyHash)
{
    public byte[] Place() => Encoding.UTF8.GetBytes($"{Principal}\n{Route}\n{Key}");

    public long LockNumber() => BinaryPrimitives.ReadInt64LittleEndian(SHA256.HashData(Place()));
}
