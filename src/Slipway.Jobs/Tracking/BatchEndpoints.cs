using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Jobs.Producing;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Working;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Tracking;

/// <summary>Batches: opened with the job that shall come after them, filled by enqueues, closed.</summary>
internal sealed class BatchEndpoints(QueueDirectory queues, RecentAnswers answers, JobsOptions options)
{
    private const string Tag = "Jobs";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.Batches, (string org, string queue, BatchEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.OpenAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Enqueue, "queue").WithName("openBatch").WithTags(Tag).WithSummary("Open a batch, with the job to enqueue when all of its jobs have ended.").Takes(typeof(OpenBatchRequest)).Produces<JobBatch>(StatusCodes.Status201Created);
        endpoints.MapGet(Routes.Batch, (string org, string queue, string batch, BatchEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, queue, batch, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("showBatch").WithTags(Tag).WithSummary("Show how far a batch is.").Produces<JobBatch>();
        endpoints.MapPost(Routes.CloseBatch, (string org, string queue, string batch, BatchEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.CloseAsync(org, queue, batch, http, cancellationToken))
            .RequirePermission(JobPermissions.Enqueue, "queue").WithName("closeBatch").WithTags(Tag).WithSummary("Close a batch: no more jobs come.").Produces<JobBatch>();
    }

    private async Task<IResult> OpenAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.OpenBatchRequest, cancellationToken);
        var draft = JobDrafts.Of(request.Callback, "/callback", options, faults);
        var job = request.Callback;
        faults.Require(job.DelayMs is null && job.At is null && job.Unique is null && job.Track is null or false && job.After is null && job.Batch is null, "/callback", "must be a plain job: not delayed, unique, tracked, in a batch or waiting for others");
        faults.ThrowIfAny();
        var body = JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.OpenBatchRequest);
        var answer = await answers.RunAsync(http, body, async token =>
        {
            Guid id;
            try
            {
                id = await queue.Broker.OpenBatchAsync(draft, request.Parent, token);
            }
            catch (ArgumentException refused)
            {
                throw ApiException.Conflict(refused.Message.Split(" (Parameter", 2)[0]);
            }

            return JsonSerializer.SerializeToUtf8Bytes(new JobBatch(id, 0, 0, 0, Open: true, CalledBack: false), ApiJson.Default.JobBatch);
        }, cancellationToken);
        http.Response.StatusCode = StatusCodes.Status201Created;
        return TypedResults.Bytes(answer, "application/json");
    }

    private async Task<IResult> ShowAsync(string org, string queueName, string batch, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var status = await queue.Broker.FindBatchAsync(Id(queue, batch), cancellationToken) ?? throw NotFound(queue, batch);
        return Answers.One(http, Shown(status), ApiJson.Default.JobBatch, etag: null);
    }

    private async Task<IResult> CloseAsync(string org, string queueName, string batch, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var status = await queue.Broker.CloseBatchAsync(Id(queue, batch), cancellationToken) ?? throw NotFound(queue, batch);
        return TypedResults.Json(Shown(status), ApiJson.Default.JobBatch);
    }

    private static Guid Id(OpenQueue queue, string batch) => Guid.TryParseExact(batch, "D", out var id) ? id : throw NotFound(queue, batch);

    private static ApiException NotFound(OpenQueue queue, string batch) => ApiException.NotFound($"batch {batch} in {queue.Org}/{queue.Name} (any more)");

    private static JobBatch Shown(BatchStatus batch) => new(batch.Id, batch.Total, batch.Pending, batch.Failed, batch.Open, batch.CalledBack);
}
