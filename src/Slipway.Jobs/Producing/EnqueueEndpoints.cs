using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using Slipway.Api;
using Slipway.Jobs.Queues;
using Slipway.Queue;
using Slipway.Resp;
using Slipway.Tenancy;

namespace Slipway.Jobs.Producing;

/// <summary>
/// Jobs in: one, up to 1,000 at once (all or none), or up to 10,000 as lines. Repeatable under an <c>Idempotency-Key</c>, or by the
/// number a producer gives its calls.
/// </summary>
internal sealed class EnqueueEndpoints(QueueDirectory queues, JobsOptions options)
{
    public const string NdJson = "application/x-ndjson";
    public const string ProducerHeader = "Slipway-Producer";
    public const string SequenceHeader = "Slipway-Sequence";

    private const string Tag = "Jobs";

    /// <summary>What one step of the queue takes: see the broker.</summary>
    private const int BlockSize = 1000;

    private const int MostLines = 10_000;

    // The fast way: what it refuses is read again by RequestBodies, which names every fault.
    private static readonly ApiJson Strict = new(new JsonSerializerOptions(ApiJson.Default.Options) { AllowDuplicateProperties = false });

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.Jobs, (string org, string queue, EnqueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.OneAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Enqueue, "queue").WithName("enqueueJob").WithTags(Tag).WithSummary("Enqueue a job.").Takes(typeof(NewJob)).Produces<EnqueuedJob>(StatusCodes.Status201Created);
        endpoints.MapPost(Routes.BulkJobs, (string org, string queue, EnqueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ManyAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Enqueue, "queue").WithName("enqueueJobs").WithTags(Tag).WithSummary("Enqueue up to 1,000 jobs, all or none; or up to 10,000 as application/x-ndjson.").Takes(typeof(BulkJobsRequest)).Produces<EnqueuedJobs>();
    }

    private async Task<IResult> OneAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        if (!http.Request.HasJsonContentType())
        {
            throw WrongType("Send it with Content-Type: application/json.");
        }

        // A payload in base64 or escaped takes up to twice its bytes; 64 KiB are for the rest.
        var body = await http.ReadBytesAsync((2 * options.MaxPayloadBytes) + (64 * 1024), cancellationToken);
        var (job, faults) = Read(body, Strict.NewJob, ApiJson.Default.NewJob);
        var draft = JobDrafts.Of(job, "", options, faults);
        var durability = ReadDurability(http, faults);
        faults.ThrowIfAny();
        var enqueued = (await AddAsync(queue, http, body, [draft], durability, 0, cancellationToken))[0];
        var answer = new EnqueuedJob(enqueued.Id, JobDrafts.Outcome(enqueued.Outcome));
        return TypedResults.Json(answer, ApiJson.Default.EnqueuedJob, statusCode: enqueued.Outcome == EnqueueOutcome.Added ? StatusCodes.Status201Created : StatusCodes.Status200OK);
    }

    private async Task<IResult> ManyAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var lines = MediaTypeHeaderValue.TryParse(http.Request.ContentType, out var type) && type.MediaType.Equals(NdJson, StringComparison.OrdinalIgnoreCase);
        if (!lines && !http.Request.HasJsonContentType())
        {
            throw WrongType($"Send it with Content-Type: application/json, or one job a line with {NdJson}.");
        }

        var body = await http.ReadBytesAsync(options.MaxBulkBytes, cancellationToken);
        var (jobs, faults) = lines ? ReadLines(body) : ReadList(body);
        var drafts = jobs.ConvertAll(job => JobDrafts.Of(job.Job, job.Pointer, options, faults));
        var durability = ReadDurability(http, faults);
        faults.ThrowIfAny();

        var outcomes = new List<EnqueuedJob>(drafts.Count);
        for (var from = 0; from < drafts.Count; from += BlockSize)
        {
            try
            {
                var added = await AddAsync(queue, http, body, drafts.GetRange(from, Math.Min(BlockSize, drafts.Count - from)), durability, from, cancellationToken);
                outcomes.AddRange(added.Select(one => new EnqueuedJob(one.Id, JobDrafts.Outcome(one.Outcome))));
            }
            catch (QueueFullException) when (outcomes.Count > 0)
            {
                // The blocks before are in. The caller sees how many by the length of the list, and sends the rest later.
                break;
            }
        }

        return TypedResults.Ok(new EnqueuedJobs(outcomes.Count(one => one.Outcome == "added"), outcomes));
    }

    private static async Task<IReadOnlyList<Enqueued>> AddAsync(
        OpenQueue queue, HttpContext http, byte[] body, IReadOnlyList<JobDraft> drafts, Durability durability, int from, CancellationToken cancellationToken)
    {
        try
        {
            return ReadMark(http, body, from) is { } mark
                ? await queue.Broker.EnqueueOnceAsync(mark, drafts, durability, cancellationToken)
                : await queue.Broker.EnqueueAsync(drafts, durability, cancellationToken);
        }
        catch (NotSupportedException lack)
        {
            throw new ApiException(StatusCodes.Status409Conflict, ProblemCodes.Conflict, lack.Message, "Ask for a weaker ?durability=, or the server's operator for a stronger Redis.");
        }
        catch (RespException unconfirmed) when (unconfirmed.GetType() == typeof(RespException))
        {
            throw new ApiException(StatusCodes.Status503ServiceUnavailable, ProblemCodes.Unavailable, unconfirmed.Message, "Repeat it with the same Idempotency-Key; nothing is enqueued twice.") { RetryAfter = TimeSpan.FromSeconds(1) };
        }
        catch (EnqueueMarkReusedException reused)
        {
            throw new ApiException(StatusCodes.Status422UnprocessableEntity, ProblemCodes.IdempotencyKeyReused, reused.Message, "Use a fresh key, or the next sequence number, for each new request.");
        }
    }

    /// <summary>What makes this call the same as an earlier one; null when the caller does not say.</summary>
    private static EnqueueMark? ReadMark(HttpContext http, byte[] body, int from)
    {
        var headers = http.Request.Headers;
        var fingerprint = Convert.ToHexStringLower(SHA256.HashData(body).AsSpan(0, 8));
        var caller = http.GetCaller();
        if (headers[ProducerHeader] is { Count: > 0 } producer)
        {
            if (producer is not [{ } name] || !JobText.IsKey(name) || headers[SequenceHeader] is not [{ } text] || !long.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var sequence) || sequence < 1)
            {
                throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, $"{ProducerHeader} {JobText.KeyRule}, and {SequenceHeader} must be a whole number from 1 beside it.");
            }

            return new EnqueueMark(Hash("producer", name, from), sequence, fingerprint, IsKey: false);
        }

        return headers["Idempotency-Key"] switch
        {
            { Count: 0 } => null,
            [{ } key] when key.Length <= 255 && key.Length > 0 && key.All(static one => one is > ' ' and <= '~') => new EnqueueMark(Hash("key", key, from), 1, fingerprint, IsKey: true),
            _ => throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, "Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID."),
        };

        // Two principals' keys never meet, and the blocks of one call are told apart.
        string Hash(string kind, string name, int at) =>
            Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{kind}\n{caller.PrincipalType}\n{caller.PrincipalId}\n{name}\n{at}")).AsSpan(0, 16));
    }

    private static (List<(NewJob Job, string Pointer)> Jobs, Faults Faults) ReadList(byte[] body)
    {
        var (request, faults) = Read(body, Strict.BulkJobsRequest, ApiJson.Default.BulkJobsRequest);
        faults.Require(request.Jobs.Count is >= 1 and <= BlockSize, "/jobs", $"must have 1 to {BlockSize} jobs; send more as {NdJson}");
        return ([.. request.Jobs.Select((job, index) => (job, $"/jobs/{index}"))], faults);
    }

    private static (List<(NewJob Job, string Pointer)> Jobs, Faults Faults) ReadLines(byte[] body)
    {
        var jobs = new List<(NewJob, string)>();
        var all = new Faults();
        var rest = new ReadOnlySpan<byte>(body);
        for (var number = 1; rest.Length > 0; number++)
        {
            var end = rest.IndexOf((byte)'\n');
            var line = (end < 0 ? rest : rest[..end]).Trim(" \t\r"u8);
            rest = end < 0 ? [] : rest[(end + 1)..];
            if (line.IsEmpty)
            {
                continue;
            }

            if (jobs.Count == MostLines)
            {
                throw new ApiException(StatusCodes.Status413PayloadTooLarge, ProblemCodes.TooLarge, $"A call takes {MostLines} lines at most.", "Send the rest in further calls.");
            }

            try
            {
                var (job, faults) = Read(line, Strict.NewJob, ApiJson.Default.NewJob);
                faults.ThrowIfAny();
                jobs.Add((job, $"/{number}"));
            }
            catch (ApiException bad) when (bad.Faults.Count > 0)
            {
                foreach (var fault in bad.Faults)
                {
                    all.Add($"/{number}{fault.Pointer}", fault.Detail);
                }

                jobs.Add((new NewJob("refused"), $"/{number}"));
            }
        }

        all.Require(jobs.Count > 0, "", "must have at least one line");
        return (jobs, all);
    }

    private static RequestBody<T> Read<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> fast, JsonTypeInfo<T> careful)
    {
        try
        {
            if (JsonSerializer.Deserialize(json, fast) is { } value)
            {
                return new RequestBody<T>(value, new Faults());
            }
        }
        catch (JsonException)
        {
            // Read once more below, to tell everything that is wrong at once.
        }

        var body = RequestBodies.Parse(json, careful);
        return body.Faults.Any ? body : throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, "The body is not the JSON this route reads.");
    }

    private static Durability ReadDurability(HttpContext http, Faults faults)
    {
        switch (http.Request.Query["durability"].ToString())
        {
            case "" or "server":
                return Durability.Server;
            case "memory":
                return Durability.Memory;
            case "aof":
                return Durability.Aof;
            case "fsync":
                return Durability.Fsync;
            case "replicated":
                return Durability.Replicated;
            default:
                faults.Add("?durability", "must be server, memory, aof, fsync or replicated");
                return Durability.Server;
        }
    }

    private static ApiException WrongType(string cure) =>
        new(StatusCodes.Status415UnsupportedMediaType, ProblemCodes.UnsupportedMediaType, "The body has a type this route does not read.", cure);
}
