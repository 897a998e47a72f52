using System.Text.Json.Nodes;

namespace Slipway.Api;

/// <summary>
/// One entry of an org's event log, which is its audit log. <paramref name="Seq"/> counts 1, 2, 3… per org without gaps.
/// </summary>
/// <param name="Hash">Hex SHA-256 over the previous entry's hash and this entry's canonical body: the chain.</param>
public sealed record Event(
    long Seq,
    DateTimeOffset At,
    string Action,
    EventActor Actor,
    EventTarget Target,
    JsonObject? Details,
    string? RequestId,
    string? Ip,
    string Hash);

/// <summary>Who did it: a user, a service account, or the system; and with which session or key.</summary>
public sealed record EventActor(string Type, string Id, string Name, string Via, string? CredentialId);

public sealed record EventTarget(string Type, string Id, string Name);

/// <summary>What a check of a chain found. <paramref name="FirstBadSeq"/> is null when the chain is whole.</summary>
public sealed record AuditVerification(string Chain, long Entries, string Head, long? FirstBadSeq, string? Problem);
