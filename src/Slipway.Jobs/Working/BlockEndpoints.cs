using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Jobs.Queues;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Working;

/// <summary>Ends and extends leased blocks. The queue of the route decides: a block of another one is not known there, and late.</summary>
internal sealed class BlockEndpoints(QueueDirectory queues, RecentAnswers answers)
{
    private const string Tag = "Jobs";
    private const int LargestResult = 64 * 1024;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.AckBlock, (string org, string queue, string block, BlockEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.AckOneAsync(org, queue, block, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("ackBlock").WithTags(Tag).WithSummary("End jobs of a leased block: done, failed, given back.").Takes(typeof(AckBlockRequest)).Produces<BlockState>();
        endpoints.MapPost(Routes.ExtendBlock, (string org, string queue, string block, BlockEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ExtendOneAsync(org, queue, block, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("extendBlock").WithTags(Tag).WithSummary("Move a leased block's deadline.").Takes(typeof(ExtendBlockRequest)).Produces<BlockStates>();
        endpoints.MapPost(Routes.AckBlocks, (string org, string queue, BlockEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.AckManyAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("ackBlocks").WithTags(Tag).WithSummary("End jobs of several leased blocks.").Takes(typeof(AckBlocksRequest)).Produces<BlockStates>();
        endpoints.MapPost(Routes.ExtendBlocks, (string org, string queue, BlockEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ExtendManyAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("extendBlocks").WithTags(Tag).WithSummary("Move the deadlines of several leased blocks.").Takes(typeof(ExtendBlocksRequest)).Produces<BlockStates>();
    }

    /// <summary>Blocks by their ids; a fault for each that can't be one.</summary>
    public static IReadOnlyList<WireBlock> ReadBlocks(IReadOnlyList<string> ids, string pointer, Faults faults)
    {
        var blocks = new List<WireBlock>(ids.Count);
        foreach (var (index, id) in ids.Index())
        {
            if (WireBlock.Read(id) is { } block)
            {
                blocks.Add(block);
            }
            else
            {
                faults.Add($"{pointer}/{index}", "is not the id of a block");
            }
        }

        return blocks;
    }

    /// <summary>Ends jobs of one block. False: its lease is lost.</summary>
    /// <param name="done">Completed without a result.</param>
    public static async Task<bool> EndAsync(OpenQueue queue, WireBlock block, IEnumerable<int> done, IReadOnlyList<JobEnd> ends, CancellationToken cancellationToken)
    {
        var settle = new List<JobEnd>(ends);
        var bits = new byte[(block.Size + 7) / 8];
        var plain = new List<int>();
        foreach (var index in done)
        {
            if (block.MustSettle(index))
            {
                settle.Add(new JobEnd(index, JobEndKind.Completed));
            }
            else
            {
                bits[index / 8] |= (byte)(1 << (index % 8));
                plain.Add(index);
            }
        }

        if (plain.Count > 0 && !(await queue.Broker.AckAsync([new BlockAck(block.Id, bits)], cancellationToken))[0])
        {
            return false;
        }

        if (settle.Count > 0 && !await queue.Broker.SettleAsync(block.Id, settle, cancellationToken))
        {
            return false;
        }

        foreach (var index in plain)
        {
            queue.Tallies.Ended(block.Id, index, JobEndKind.Completed, "");
        }

        foreach (var end in settle)
        {
            queue.Tallies.Ended(block.Id, end.Index, end.Kind, end.Reason);
        }

        return true;
    }

    private async Task<IResult> AckOneAsync(string org, string queueName, string id, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.AckBlockRequest, cancellationToken);
        var block = WireBlock.Read(id);
        faults.Require(block is not null, "/block", "is not the id of a block");
        var ack = block is null ? null : ReadAck(block, request.Done, request.Ended, "", faults);
        faults.ThrowIfAny();
        var answer = await answers.RunAsync(http, JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.AckBlockRequest), async token =>
            JsonSerializer.SerializeToUtf8Bytes(await AckAsync(queue, block!, ack!, token), ApiJson.Default.BlockState), cancellationToken);
        return TypedResults.Bytes(answer, "application/json");
    }

    private async Task<IResult> AckManyAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.AckBlocksRequest, cancellationToken);
        faults.Require(request.Blocks.Count is >= 1 and <= LeaseEndpoints.MostBlocks, "/blocks", $"must have 1 to {LeaseEndpoints.MostBlocks} blocks");
        var acks = new List<(WireBlock Block, Ack Ack)>();
        foreach (var (index, one) in request.Blocks.Index())
        {
            if (WireBlock.Read(one.Id) is not { } block)
            {
                faults.Add($"/blocks/{index}/id", "is not the id of a block");
                continue;
            }

            acks.Add((block, ReadAck(block, one.Done, one.Ended, $"/blocks/{index}", faults)));
        }

        faults.ThrowIfAny();
        var answer = await answers.RunAsync(http, JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.AckBlocksRequest), async token =>
        {
            // Side by side: they share a connection, and so a packet.
            var states = await Task.WhenAll(acks.Select(one => AckAsync(queue, one.Block, one.Ack, token)));
            return JsonSerializer.SerializeToUtf8Bytes(new BlockStates(states, queue.Cancelled), ApiJson.Default.BlockStates);
        }, cancellationToken);
        return TypedResults.Bytes(answer, "application/json");
    }

    private async Task<IResult> ExtendOneAsync(string org, string queueName, string id, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.ExtendBlockRequest, cancellationToken);
        var block = WireBlock.Read(id);
        faults.Require(block is not null, "/block", "is not the id of a block");
        CheckLease(request.LeaseMs, faults);
        faults.ThrowIfAny();
        return await ExtendAsync(queue, [block!], request.LeaseMs, cancellationToken);
    }

    private async Task<IResult> ExtendManyAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.ExtendBlocksRequest, cancellationToken);
        faults.Require(request.Blocks.Count is >= 1 and <= LeaseEndpoints.MostBlocks, "/blocks", $"must have 1 to {LeaseEndpoints.MostBlocks} blocks");
        var blocks = ReadBlocks(request.Blocks, "/blocks", faults);
        CheckLease(request.LeaseMs, faults);
        faults.ThrowIfAny();
        return await ExtendAsync(queue, blocks, request.LeaseMs, cancellationToken);
    }

    private static async Task<IResult> ExtendAsync(OpenQueue queue, IReadOnlyList<WireBlock> blocks, long leaseMs, CancellationToken cancellationToken)
    {
        var extended = await queue.Broker.ExtendAsync([.. blocks.Select(block => block.Id)], TimeSpan.FromMilliseconds(leaseMs), cancellationToken);
        return TypedResults.Json(
            new BlockStates([.. blocks.Select((block, index) => new BlockState(block.ToString(), extended[index] ? "extended" : "late"))], queue.Cancelled), ApiJson.Default.BlockStates);
    }

    private static async Task<BlockState> AckAsync(OpenQueue queue, WireBlock block, Ack ack, CancellationToken cancellationToken)
    {
        bool acked;
        if (ack.Whole && block.Settles.Length == 0)
        {
            acked = (await queue.Broker.FetchAsync(new FetchRequest(0, TimeSpan.FromSeconds(1), [block.Id]), cancellationToken)).Late.Count == 0;
            for (var index = 0; acked && index < block.Size; index++)
            {
                queue.Tallies.Ended(block.Id, index, JobEndKind.Completed, "");
            }
        }
        else
        {
            acked = await EndAsync(queue, block, ack.Whole ? Enumerable.Range(0, block.Size) : ack.Done, ack.Ends, cancellationToken);
        }

        return new BlockState(block.ToString(), acked ? "acked" : "late");
    }

    private static Ack ReadAck(WireBlock block, IReadOnlyList<int>? done, IReadOnlyList<EndedJob>? ended, string pointer, Faults faults)
    {
        var seen = new HashSet<int>();
        foreach (var (place, index) in (done ?? []).Index())
        {
            CheckIndex(index, $"{pointer}/done/{place}");
        }

        var ends = new List<JobEnd>();
        foreach (var (place, end) in (ended ?? []).Index())
        {
            var at = $"{pointer}/ended/{place}";
            CheckIndex(end.Index, at + "/index");
            JobEndKind? kind = end.Kind switch
            {
                "completed" => JobEndKind.Completed,
                "failed" => JobEndKind.Failed,
                "retry" => JobEndKind.Retry,
                "dead" => JobEndKind.Dead,
                "released" => JobEndKind.Released,
                "cancelled" => JobEndKind.Cancelled,
                _ => null,
            };
            faults.Require(kind is not null, at + "/kind", "must be completed, failed, retry, dead, released or cancelled");
            faults.Require(end.RetryAfterMs is null || (end.Kind == "retry" && end.RetryAfterMs is >= 0 and <= 31_622_400_000), at + "/retryAfterMs", "must be 0 to 31622400000 (a year), beside kind retry");
            faults.Require(end.Reason is null or { Length: <= 100 }, at + "/reason", "must have at most 100 characters");
            faults.Require(end.Result is null || end.ResultBytes is null, at + "/resultBytes", "must not stand beside result");
            ReadOnlyMemory<byte> result = end.ResultBytes ?? (end.Result is { ValueKind: not JsonValueKind.Undefined } json ? JsonMarshal.GetRawUtf8Value(json).ToArray() : []);
            faults.Require(result.Length <= LargestResult, at + "/result", $"has {result.Length} bytes, and {LargestResult} is the limit; keep it elsewhere and return where it is");
            faults.Require(result.IsEmpty || end.Kind == "completed", at + "/result", "belongs to kind completed");
            ends.Add(new JobEnd(end.Index, kind ?? JobEndKind.Completed, TimeSpan.FromMilliseconds(end.RetryAfterMs ?? 0), end.Reason ?? "", end.Error ?? "", result));
        }

        return new Ack(done is null && ended is null, done ?? [], ends);

        void CheckIndex(int index, string at)
        {
            faults.Require(index >= 0 && index < block.Size, at, $"must be 0 to {block.Size - 1}, the place of a job in its block");
            faults.Require(seen.Add(index), at, "stands in this call twice");
        }
    }

    private static void CheckLease(long leaseMs, Faults faults) =>
        faults.Require(leaseMs is >= LeaseEndpoints.ShortestLeaseMs and <= LeaseEndpoints.LongestLeaseMs, "/leaseMs", $"must be {LeaseEndpoints.ShortestLeaseMs} to {LeaseEndpoints.LongestLeaseMs}");

    /// <param name="Whole">Everything that has not ended is done.</param>
    private sealed record Ack(bool Whole, IReadOnlyList<int> Done, IReadOnlyList<JobEnd> Ends);
}
