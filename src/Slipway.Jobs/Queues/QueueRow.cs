using System.Text.Json;
using Slipway.Api;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.Jobs.Queues;

internal sealed class QueueRow
{
    public const string Select =
        """
        select q.id, q.org_id as OrgId, o.name as Org, q.name, q.description, q.settings::text as SettingsJson, q.version,
            q.created_at as CreatedAt, q.updated_at as UpdatedAt
        from job_queue q join org o on o.id = q.org_id
        """;

    public Guid Id { get; init; }
    public Guid OrgId { get; init; }
    public string Org { get; init; } = "";
    public string Name { get; init; } = "";
    public string Description { get; init; } = "";
    public string SettingsJson { get; init; } = "";
    public long Version { get; init; }
    public DateTime CreatedAt { get; init; }
    public DateTime UpdatedAt { get; init; }

    public string ETag => ETags.Of(Id, Version);

    public string ShownId => EntityId.Show("queue", Id);

    public JobQueueSettings Settings => JsonSerializer.Deserialize(SettingsJson, ApiJson.Default.JobQueueSettings)!;

    public EventTarget Target => new("queue", ShownId, $"{Org}/{Name}");

    public JobQueue Shown => new(ShownId, Org, Name, Description, Settings, CreatedAt, UpdatedAt);

    public static string Write(JobQueueSettings settings) => JsonSerializer.Serialize(settings, ApiJson.Default.JobQueueSettings);
}
