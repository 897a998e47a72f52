using Slipway.Tenancy;

namespace Slipway.Jobs;

/// <summary>
/// What can be allowed on work queues. Programs get keys that do one thing: enqueue, or work. Numbers are for everybody in the org,
/// contents (payloads, errors, results) from member up.
/// </summary>
internal static class JobPermissions
{
    public static readonly Permission Read = new("jobs", "read", OrgRole.Viewer, CredentialRule.KeyOrSession,
        "List queues and schedules, and see a queue's numbers, workers and settings.");

    public static readonly Permission Peek = new("jobs", "peek", OrgRole.Member, CredentialRule.KeyOrSession,
        "See waiting jobs, dead letters, and the state and result of a job.");

    public static readonly Permission Enqueue = new("jobs", "enqueue", OrgRole.Member, CredentialRule.KeyOrSession,
        "Enqueue and cancel jobs, and open and close batches.");

    public static readonly Permission Work = new("jobs", "work", OrgRole.Member, CredentialRule.KeyOrSession,
        "Lease jobs and end them.");

    public static readonly Permission Admin = new("jobs", "admin", OrgRole.Admin, CredentialRule.KeyOrSession,
        "Change a queue's settings, pause it, manage its schedules, redrive and purge its dead letters.");

    public static readonly Permission Manage = new("jobs", "manage", OrgRole.Admin, CredentialRule.SessionOnly,
        "Create and delete queues.");

    public static readonly Permission[] All = [Read, Peek, Enqueue, Work, Admin, Manage];
}
