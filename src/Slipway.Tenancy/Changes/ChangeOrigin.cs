namespace Slipway.Tenancy;

/// <summary>
/// Who is behind a change and how it came in: copied into every event. Plain data, so that a job can carry it and act in the
/// name of whoever asked for it.
/// </summary>
/// <param name="ActorType"><c>user</c>, <c>service_account</c> or <c>system</c>.</param>
/// <param name="Via"><c>session</c>, <c>key</c> or <c>system</c>.</param>
/// <param name="CredentialId">The shown id of the session or key.</param>
public sealed record ChangeOrigin(
    string ActorType,
    Guid ActorId,
    string ActorName,
    string Via,
    string? CredentialId,
    string? RequestId,
    string? Ip)
{
    /// <summary>The server itself, for what no one asked for.</summary>
    public static ChangeOrigin System { get; } = new("system", Guid.Empty, "slipway", "system", null, null, null);
}
