using System.Globalization;
using Slipway.Resp;

namespace Slipway.Queue;

public sealed partial class RedisBroker
{
    private static readonly string[] KindNames = ["completed", "retry", "failed", "dead", "released", "cancelled"];

    /// <summary>Finished blocks of a fetch whose answer was lost: closed or not, the next call must not count them as late.</summary>
    private readonly HashSet<string> doubtful = [];

    public async Task<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Max, MostJobs, nameof(request));
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Lease, TimeSpan.FromMilliseconds(1), nameof(request));
        await ListenAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        while (true)
        {
            StoredSettings known = settings;
            RespValue answer;
            try
            {
                answer = await redis.EvaluateAsync(
                    QueueScripts.Fetch, known.FetchKeys(keys), FetchArguments(request, known), idempotent: false, keepsReply: true, cancellationToken).ConfigureAwait(false);
            }
            catch (RespConnectionException cut) when (cut.InDoubt && request.Finished.Count > 0)
            {
                lock (doubtful)
                {
                    doubtful.UnionWith(request.Finished);
                }

                throw;
            }

            if (answer.Items[0].AsInteger() < 0)
            {
                await LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
                continue;
            }

            return await ReadFetchAsync(answer, request).ConfigureAwait(false);
        }
    }

    public async Task<IReadOnlyList<bool>> AckAsync(IReadOnlyList<BlockAck> acks, CancellationToken cancellationToken)
    {
        var arguments = new RespArgument[1 + (2 * acks.Count)];
        arguments[0] = keys.Wake;
        for (int i = 0; i < acks.Count; i++)
        {
            arguments[1 + (2 * i)] = acks[i].Block;
            arguments[2 + (2 * i)] = acks[i].Done;
        }

        return Flags(await EvaluateAsync(QueueScripts.Ack, keys.All, arguments, cancellationToken).ConfigureAwait(false));
    }

    public async Task<bool> SettleAsync(string block, IReadOnlyList<JobEnd> ends, CancellationToken cancellationToken)
    {
        var arguments = new List<RespArgument>(4 + (6 * ends.Count))
        {
            keys.Wake, block, Random.Shared.NextDouble().ToString(CultureInfo.InvariantCulture), Keep,
        };
        foreach (JobEnd end in ends)
        {
            if (end.Result.Length > MaxResultBytes)
            {
                throw new ArgumentException($"The result has {end.Result.Length} bytes; the limit is {MaxResultBytes}. Keep it elsewhere and return where it is.", nameof(ends));
            }

            arguments.AddRange([end.Index, KindNames[(int)end.Kind], Milliseconds(end.RetryAfter), Cut(end.Reason, 100), Cut(end.Error, 2000), end.Result]);
        }

        RespValue answer = await EvaluateAsync(QueueScripts.Settle, keys.All, arguments.ToArray(), cancellationToken).ConfigureAwait(false);
        return answer.AsInteger() == 1;
    }

    public async Task<IReadOnlyList<bool>> ExtendAsync(IReadOnlyList<string> blocks, TimeSpan lease, CancellationToken cancellationToken)
    {
        RespArgument[] arguments = [Milliseconds(lease), .. blocks.Select(block => (RespArgument)block)];
        return Flags(await EvaluateAsync(QueueScripts.Extend, new[] { keys.Leases }, arguments, cancellationToken).ConfigureAwait(false));
    }

    public async Task<BlockReap> ReapAsync(IReadOnlyList<string> expired, CancellationToken cancellationToken)
    {
        RespArgument[] arguments = [keys.Wake, Keep, .. expired.Take(10).Select(block => (RespArgument)block)];
        RespValue answer = await EvaluateAsync(QueueScripts.Reap, keys.All, arguments, cancellationToken).ConfigureAwait(false);
        return new BlockReap((int)answer.Items[0].AsInteger(), (int)answer.Items[1].AsInteger());
    }

    public async Task<IReadOnlyList<JobBlock>> RecoverAsync(IReadOnlyList<string> known, CancellationToken cancellationToken)
    {
        RespArgument[] arguments = [WorkerId, .. known.Select(block => (RespArgument)block)];
        RespValue answer = await EvaluateAsync(QueueScripts.Recover, new[] { keys.Leases, keys.Blocks }, arguments, cancellationToken).ConfigureAwait(false);
        var blocks = new List<JobBlock>();
        DateTimeOffset now = Moment(answer.Items[0].AsInteger());
        for (int i = 1; i + 2 < answer.Items.Count; i += 3)
        {
            blocks.Add(ReadBlock(answer.Items[i].AsString(), answer.Items[i + 2].AsBytes(), now, Moment(answer.Items[i + 1].AsInteger()), []));
        }

        await FetchPayloadsAsync(blocks).ConfigureAwait(false);
        return blocks;
    }

    public async Task ReportAsync(WorkerReport report, CancellationToken cancellationToken)
    {
        var arguments = new List<RespArgument> { report.Worker ?? WorkerId, Cut(report.About, 1000) };
        foreach ((string type, TypeCounts counts) in report.Counts)
        {
            MsgpackWriter errors = new MsgpackWriter().Map(Math.Min(20, counts.Errors.Count));
            foreach ((string reason, long count) in counts.Errors.Take(20))
            {
                errors.Text(Cut(reason, 100)).Number(count);
            }

            arguments.AddRange([type, counts.Completed, counts.Failed, Milliseconds(counts.Busy), Milliseconds(counts.Waited), errors.Written]);
        }

        await redis.EvaluateAsync(QueueScripts.Report, new[] { keys.Workers, keys.History }, arguments.ToArray(), idempotent: false, keepsReply: false, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>64 KiB: a result is read with the state, many at a time.</summary>
    private const int MaxResultBytes = 64 * 1024;

    private RespArgument[] FetchArguments(FetchRequest request, StoredSettings known)
    {
        var arguments = new RespArgument[6 + request.Finished.Count];
        arguments[0] = request.Max;
        arguments[1] = Milliseconds(request.Lease);
        arguments[2] = request.Worker ?? WorkerId;
        arguments[3] = known.Version;
        arguments[4] = keys.Wake;
        arguments[5] = request.Finished.Count;
        for (int i = 0; i < request.Finished.Count; i++)
        {
            string block = request.Finished[i];
            arguments[6 + i] = IsDoubtful(block) ? "?" + block : block;
        }

        return arguments;
    }

    private bool IsDoubtful(string block)
    {
        lock (doubtful)
        {
            return doubtful.Count > 0 && doubtful.Contains(block);
        }
    }

    private async ValueTask<FetchResult> ReadFetchAsync(RespValue answer, FetchRequest request)
    {
        IReadOnlyList<RespValue> items = answer.Items;
        long now = items[0].AsInteger();
        LearnClock(now);
        long next = items[1].AsInteger();
        HashSet<Guid> cancelled = items[5].Items.Count == 0 ? [] : [.. items[5].Items.Select(id => new Guid(id.AsBytes().Span, bigEndian: true))];
        var blocks = new List<JobBlock>((items.Count - 6) / 2);
        for (int i = 6; i + 1 < items.Count; i += 2)
        {
            blocks.Add(ReadBlock(items[i].AsString(), items[i + 1].AsBytes(), Moment(now), Moment(now) + request.Lease, cancelled));
        }

        await FetchPayloadsAsync(blocks).ConfigureAwait(false);
        if (doubtful.Count > 0)
        {
            lock (doubtful)
            {
                doubtful.ExceptWith(request.Finished);
            }
        }

        return new FetchResult(
            blocks,
            items[3].Items.Count == 0 ? [] : [.. items[3].Items.Select(block => block.AsString())],
            Moment(now),
            next < 0 ? null : TimeSpan.FromMilliseconds(next),
            items[4].Items.Count == 0 ? [] : [.. items[4].Items.Select(block => block.AsString())],
            items[2].AsInteger() == 1);
    }

    private JobBlock ReadBlock(string id, ReadOnlyMemory<byte> packed, DateTimeOffset now, DateTimeOffset deadline, HashSet<Guid> cancelled)
    {
        var reader = new MsgpackReader(packed);
        var jobs = new Job[reader.ReadArray()];
        for (int i = 0; i < jobs.Length; i++)
        {
            ReadOnlyMemory<byte> entry = reader.ReadBytes();
            jobs[i] = JobEntry.Read(entry, types);
            if (cancelled.Count > 0 && cancelled.Contains(jobs[i].Id))
            {
                jobs[i] = JobEntry.Read(entry, types, cancelled: true);
            }
        }

        return new JobBlock(id, long.Parse(id.AsSpan(0, id.IndexOf('.', StringComparison.Ordinal)), CultureInfo.InvariantCulture), now, deadline, jobs);
    }

    /// <summary>Payloads that lie beside the queue: one more round trip for those blocks only.</summary>
    /// <remarks>No cancellation: the blocks are leased, and whoever cancels needs them to give them back.</remarks>
    private async ValueTask FetchPayloadsAsync(List<JobBlock> blocks)
    {
        for (int b = 0; b < blocks.Count; b++)
        {
            Job[] jobs = (Job[])blocks[b].Jobs;
            for (int i = 0; i < jobs.Length; i++)
            {
                if (!jobs[i].PayloadIsAside)
                {
                    continue;
                }

                RespValue payload = await redis.SendAsync(RespCommand.Of("HGET", keys.Big, Bytes(jobs[i].Id)) with { Idempotent = true }, CancellationToken.None).ConfigureAwait(false);
                jobs[i] = jobs[i].WithPayload(payload.IsNull ? default : payload.AsBytes(), payload.IsNull ? "Its payload, which lay beside the queue, is gone." : null);
            }
        }
    }

    private static bool[] Flags(RespValue answer) => [.. answer.Items.Select(flag => flag.AsInteger() == 1)];
}
