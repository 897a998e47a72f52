using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Slipway.Data;
using Slipway.Jobs.DeadLetters;
using Slipway.Jobs.Producing;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Schedules;
using Slipway.Jobs.Tracking;
using Slipway.Jobs.Watching;
using Slipway.Jobs.Working;
using Slipway.Tenancy;

namespace Slipway.Jobs;

/// <summary>Work queues for tenants: jobs in and out over HTTP, for programs in any language.</summary>
/// <remarks>
/// <code>
///   producers            workers                       people
///   POST …/jobs          POST …/lease, …/ack           settings, schedules, dead letters, live numbers
///        │                    │                                   │
///   Producing/           Working/LeaseLine               Queues/ Schedules/ DeadLetters/ Watching/
///        └──────► Queues/QueueDirectory ◄─────────────────────────┘
///                 (one broker per queue in use)  ─► Redis: the jobs      PostgreSQL: what queues there are
/// </code>
/// The protocol is specified in docs/protocols/jobs-http.md.
/// </remarks>
public static class JobsFeature
{
    public static MigrationModule JobsMigrations { get; } = new("jobs", typeof(JobsFeature).Assembly);

    /// <summary>Needs Tenancy, a <see cref="Database"/> and a connection to Redis among the services.</summary>
    public static IServiceCollection AddJobs(this IServiceCollection services, JobsOptions options)
    {
        services.AddPermissions(JobPermissions.All);
        services.AddSingleton(options);
        services.AddSingleton<QueueDirectory>();
        services.AddSingleton<QueueEndpoints>();
        services.AddSingleton<EnqueueEndpoints>();
        services.AddSingleton<RecentAnswers>();
        services.AddSingleton<LeaseEndpoints>();
        services.AddSingleton<BlockEndpoints>();
        services.AddSingleton<JobEndpoints>();
        services.AddSingleton<BatchEndpoints>();
        services.AddSingleton<DeadLetterEndpoints>();
        services.AddSingleton<ScheduleEndpoints>();
        services.AddSingleton<JobMetrics>();
        services.AddSingleton<QueueStream>();
        services.AddSingleton<StatsEndpoints>();

        services.AddSingleton<OperationRunner>();
        services.AddHostedService(provider => provider.GetRequiredService<OperationRunner>());
        services.AddSingleton<ScheduleTicker>();
        services.AddHostedService(provider => provider.GetRequiredService<ScheduleTicker>());
        services.AddHostedService<JobsService>();
        return services;
    }

    public static IEndpointRouteBuilder MapJobs(this IEndpointRouteBuilder endpoints)
    {
        QueueEndpoints.Map(endpoints);
        EnqueueEndpoints.Map(endpoints);
        LeaseEndpoints.Map(endpoints);
        BlockEndpoints.Map(endpoints);
        JobEndpoints.Map(endpoints);
        BatchEndpoints.Map(endpoints);
        DeadLetterEndpoints.Map(endpoints);
        ScheduleEndpoints.Map(endpoints);
        StatsEndpoints.Map(endpoints);
        return endpoints;
    }
}
