using System.Text.Json.Nodes;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>One transaction under way: its effect, and the events that tell of it.</summary>
public sealed class Change
{
    private readonly ChangeOrigin origin;
    private readonly List<PendingEvent> events = [];
    private readonly List<Action> afterCommit = [];

    internal Change(NpgsqlConnection connection, NpgsqlTransaction transaction, ChangeOrigin origin, DateTimeOffset now)
    {
        Connection = connection;
        Transaction = transaction;
        this.origin = origin;
        Now = now;
    }

    public NpgsqlConnection Connection { get; }

    public NpgsqlTransaction Transaction { get; }

    /// <summary>The time of the change, in whole microseconds as PostgreSQL keeps them.</summary>
    public DateTimeOffset Now { get; }

    internal IReadOnlyList<PendingEvent> Events => events;

    /// <summary>Adds an event. It is written just before the commit, so the chain stays locked only for a moment.</summary>
    /// <param name="orgId">The org whose chain it belongs to; null for the server's.</param>
    /// <param name="action">Subject and past tense: <c>cache.created</c>.</param>
    /// <param name="details">What changed; no secrets.</param>
    public void Record(Guid? orgId, string action, EventTarget target, JsonObject? details = null) =>
        events.Add(new PendingEvent(orgId ?? EventLog.ServerChain, action, target, details, origin));

    /// <summary>Runs after the commit, and not at all when there is none. Must not throw.</summary>
    public void AfterCommit(Action action) => afterCommit.Add(action);

    internal void RunAfterCommit()
    {
        foreach (var action in afterCommit)
        {
            action();
        }
    }
}

internal sealed record PendingEvent(Guid ChainId, string Action, EventTarget Target, JsonObject? Details, ChangeOrigin Origin);
