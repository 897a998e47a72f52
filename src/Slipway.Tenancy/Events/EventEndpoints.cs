using System.Globalization;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>The event logs of orgs and of the server: lists, the live stream, the check of the chain.</summary>
internal static class EventEndpoints
{
    public static void Map(IEndpointRouteBuilder endpoints)
    {
        var read = TenancyPermissions.ReadEvents;
        endpoints.MapGet(Routes.OrgEvents, (HttpContext http, string org, NpgsqlDataSource database, CancellationToken cancellationToken) =>
            ListAsync(http, http.GetCaller().OrgId(org)!.Value, database, cancellationToken)).RequirePermission(read).Produces<Page<Event>>();
        endpoints.MapGet(Routes.OrgEventStream, (HttpContext http, string org, EventStream stream, CancellationToken cancellationToken) =>
            stream.WriteAsync(http, org, cancellationToken)).RequirePermission(read).Produces(200, contentType: "text/event-stream");
        endpoints.MapGet(Routes.OrgAudit, (HttpContext http, string org, ChainVerifier verifier, CancellationToken cancellationToken) =>
            VerifyAsync(http.GetCaller().OrgId(org)!.Value, verifier, cancellationToken)).RequirePermission(read).Produces<AuditVerification>();
        endpoints.MapGet(Routes.ServerEvents, (HttpContext http, NpgsqlDataSource database, CancellationToken cancellationToken) =>
            ListAsync(http, EventLog.ServerChain, database, cancellationToken)).RequireSuperuser().Produces<Page<Event>>();
        endpoints.MapGet(Routes.ServerAudit, (ChainVerifier verifier, CancellationToken cancellationToken) =>
            VerifyAsync(EventLog.ServerChain, verifier, cancellationToken)).RequireSuperuser().Produces<AuditVerification>();
    }

    /// <summary>
    /// Newest first; with <c>?after=SEQ</c> oldest first from there, for readers that follow. Positions are seqs, which commit in order, so
    /// neither direction can skip an event. <c>?action=</c> keeps one action.
    /// </summary>
    private static async Task<IResult> ListAsync(HttpContext http, Guid chain, NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        var action = http.Request.Query["action"].FirstOrDefault();
        var faults = new Faults();
        faults.Require(action is null || IsAction(action), "?action", "must be an action such as key.issued");
        var after = ReadSeq(http.Request.Query["after"].FirstOrDefault(), faults);
        faults.ThrowIfAny();

        var forward = after is not null;
        long? position = page.After is null ? after : long.Parse(page.After, CultureInfo.InvariantCulture);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<EventRow>(new CommandDefinition(
            $"""
            select seq, body, hash from event
            where chain_id = @chain
              and (@position::bigint is null or seq {(forward ? ">" : "<")} @position)
              and (@action::text is null or action = @action)
            order by seq {(forward ? "asc" : "desc")} limit @limit
            """,
            new { chain, position, action, limit = page.Size + 1 },
            cancellationToken: cancellationToken));
        var cut = PageToken.Cut(http, page, rows.AsList(), row => row.Seq.ToString(CultureInfo.InvariantCulture));
        return TypedResults.Json(new Page<Event>([.. cut.Items.Select(row => row.ToEvent())], cut.NextPageToken), ApiJson.Default.PageEvent);
    }

    /// <summary>A seq as callers write it: a whole number from 0. Null when there is none.</summary>
    public static long? ReadSeq(string? text, Faults faults)
    {
        if (text is null)
        {
            return null;
        }

        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seq))
        {
            faults.Add("?after", "must be the seq of an event, or 0");
        }

        return seq;
    }

    private static bool IsAction(string text) => text.Length is > 0 and <= 100 && text.All(character => char.IsAsciiLetterLower(character) || character is '.' or '_');

    private static async Task<IResult> VerifyAsync(Guid chain, ChainVerifier verifier, CancellationToken cancellationToken) =>
        TypedResults.Json(await verifier.VerifyAsync(chain, cancellationToken), ApiJson.Default.AuditVerification);
}

internal sealed class EventRow
{
    public long Seq { get; init; }

    public string Body { get; init; } = "";

    public byte[] Hash { get; init; } = [];

    public Event ToEvent() => EventBody.Read(Body, Hash);
}
