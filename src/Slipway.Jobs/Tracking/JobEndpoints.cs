using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Working;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Tracking;

/// <summary>What is known of one tracked job; its progress and its cancellation.</summary>
internal sealed class JobEndpoints(QueueDirectory queues)
{
    private const string Tag = "Jobs";
    private const int LongestNote = 500;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Job, (string org, string queue, string job, JobEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, queue, job, http, cancellationToken))
            .RequirePermission(JobPermissions.Peek, "queue").WithName("showJob").WithTags(Tag).WithSummary("Show a tracked job: state, progress, result.").Produces<TrackedJob>();
        endpoints.MapPost(Routes.JobProgress, (string org, string queue, string job, JobEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ProgressAsync(org, queue, job, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("reportJobProgress").WithTags(Tag).WithSummary("Say how far a tracked job is, and hear whether it shall be cancelled.").Takes(typeof(JobProgressRequest)).Produces<TrackedJob>();
        endpoints.MapPost(Routes.CancelJob, (string org, string queue, string job, JobEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.CancelAsync(org, queue, job, http, cancellationToken))
            .RequirePermission(JobPermissions.Enqueue, "queue").WithName("cancelJob").WithTags(Tag).WithSummary("Cancel a tracked job: a waiting one never starts, a running one is told.").Produces<TrackedJob>();
    }

    private async Task<IResult> ShowAsync(string org, string queueName, string job, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        return Answers.One(http, Shown(await FindAsync(queue, job, cancellationToken)), ApiJson.Default.TrackedJob, etag: null);
    }

    private async Task<IResult> ProgressAsync(string org, string queueName, string job, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.JobProgressRequest, cancellationToken);
        faults.Require(request.Progress is >= 0 and <= 100, "/progress", "must be 0 to 100");
        faults.Require(request.Note.Length <= LongestNote, "/note", $"must have at most {LongestNote} characters");
        faults.ThrowIfAny();
        var known = await FindAsync(queue, job, cancellationToken);
        await queue.Broker.ProgressAsync(known.Id, request.Progress, request.Note, cancellationToken);
        return TypedResults.Json(Shown(await FindAsync(queue, job, cancellationToken)), ApiJson.Default.TrackedJob);
    }

    private async Task<IResult> CancelAsync(string org, string queueName, string job, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var known = await FindAsync(queue, job, cancellationToken);
        if (!await queue.Broker.CancelAsync(known.Id, cancellationToken))
        {
            var now = await FindAsync(queue, job, cancellationToken);
            // A repetition finds it cancelled, which is what it asked for.
            if (now.State != JobState.Cancelled && !now.CancelRequested)
            {
                throw ApiException.Conflict($"Job {known.Id} is {Name(now.State)} already.");
            }
        }

        return TypedResults.Json(Shown(await FindAsync(queue, job, cancellationToken)), ApiJson.Default.TrackedJob);
    }

    private static async Task<JobStatus> FindAsync(OpenQueue queue, string job, CancellationToken cancellationToken) =>
        Guid.TryParseExact(job, "D", out var id) && await queue.Broker.FindAsync(id, cancellationToken) is { } found
            ? found
            : throw ApiException.NotFound($"tracked job {job} in {queue.Org}/{queue.Name} (any more)");

    private static TrackedJob Shown(JobStatus job)
    {
        var (json, bytes) = LeaseAnswer.Split(job.Result);
        return new TrackedJob(job.Id, job.Type, Name(job.State), job.Attempt, job.Progress, job.Note, json, bytes, job.Error, job.UpdatedAt, job.CancelRequested);
    }

    private static string Name(JobState state) => state switch
    {
        JobState.Waiting => "waiting",
        JobState.Ready => "ready",
        JobState.Running => "running",
        JobState.Completed => "completed",
        JobState.Dead => "dead",
        JobState.Cancelled => "cancelled",
        _ => throw new ArgumentOutOfRangeException(nameof(state)),
    };
}
